import { Metadata, type MetadataOptions } from '@grpc/grpc-js'
import type { Context } from '../../core/context.ts'
import type { Scope } from '../../core/scope.ts'
import { grpcAttemptsHeader, writeBaggage } from '../wire/outbound.ts'
import { decodeGrpcTimeout, encodeGrpcTimeout, grpcTimeoutHeader } from '../wire/timeout.ts'
import { callBegun } from './caller-stack.ts'

/** Servers in Node keep the time in a timer of 32 bits: past this, it runs out at once instead of in a month. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1

/** What is known of one attempt, shared by all copies of its metadata. */
interface Attempt {
  readonly scope: Scope
  sent: boolean
}

/**
 * The metadata of one attempt. It writes the time that is left at the moment it is turned into headers, which is
 * after name resolution, after the pick of a connection, after the credentials: when the call is really sent. It
 * reads the monotonic clock, whereas grpc-js would subtract two readings of the wall clock and round up.
 */
export class CallMetadata extends Metadata {
  private readonly attempt: Attempt

  constructor(attempt: Attempt, options: MetadataOptions | undefined) {
    super(options)
    this.attempt = attempt
  }

  /** Whether the call has been written to a connection. */
  get sent(): boolean {
    return this.attempt.sent
  }

  override clone(): CallMetadata {
    // The first thing that grpc-js does with a call once it has noted where it was made.
    callBegun()
    const copy = new CallMetadata(this.attempt, this.getOptions())
    copy.merge(this)
    return copy
  }

  override toHttp2Headers(): ReturnType<Metadata['toHttp2Headers']> {
    const { attempt } = this
    attempt.sent = true
    const headers = super.toHttp2Headers()
    const timeout = encodeGrpcTimeout(timeLeft(attempt.scope, headers[grpcTimeoutHeader]))
    if (timeout !== undefined) headers[grpcTimeoutHeader] = timeout
    return headers
  }
}

/** The metadata that an attempt under `context` is made with: `given`, and what the context says. */
export function callMetadata(context: Context, given: Metadata | undefined): CallMetadata {
  const metadata = new CallMetadata({ scope: context.scope, sent: false }, given?.getOptions())
  if (given !== undefined) metadata.merge(given)
  const { attempt } = context
  if (attempt > 1) metadata.set(grpcAttemptsHeader, String(attempt - 1))
  if (context.criticality !== 'critical' || context.tenant !== undefined) {
    const existing = metadata.get('baggage')
    writeBaggage(context, existing.length === 0 ? undefined : existing.join(','), (name, value) => {
      metadata.set(name, value)
    })
  }
  return metadata
}

/**
 * Never more than grpc-js has written itself, from the timeout of a service config. Whole milliseconds, as long as
 * there are many: headers that repeat are cheaper than headers that never do.
 */
function timeLeft({ deadline, clock }: Scope, written: unknown): number {
  const left = deadline === Infinity ? Infinity : Math.min(MAX_TIMEOUT_MS, deadline - clock.now())
  const other = typeof written === 'string' ? decodeGrpcTimeout(written) : undefined
  const least = other === undefined ? left : Math.min(left, other)
  return least > 10 ? Math.floor(least) : least
}
