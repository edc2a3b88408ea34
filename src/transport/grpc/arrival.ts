import type { Metadata } from '@grpc/grpc-js'
import { type Clock, systemClock } from '../../core/clock.ts'
import { Context } from '../../core/context.ts'
import { Scope } from '../../core/scope.ts'
import { fromStranger } from '../../internal/inbound-call.ts'
import { type InboundOptions, readInbound } from '../wire/inbound.ts'
import { leftUntil, timedOut } from './grpc-deadline.ts'

/** What grpc-js knows of a call that has come in, in a handler as in an interceptor. */
export interface Arrival {
  readonly metadata: Metadata
  /** Where it came from: `address:port`. */
  readonly peer: string
  /** On the wall clock. */
  readonly deadline: Date | number
}

export interface ArrivalOptions extends InboundOptions {
  /** @default the process's own */
  readonly clock?: Clock | undefined
}

/** The context of a call that has come in, in a scope of its own. Whoever asks for it closes it with the call. */
export function contextOf({ peer, deadline: end, metadata }: Arrival, options: ArrivalOptions): Context {
  const { timeoutMs, criticality, tenant, attempt } = readInbound(name => textOf(metadata, name), options)
  const clock = options.clock ?? systemClock
  // grpc-js takes `grpc-timeout` out of the metadata and keeps a point in time in its place.
  const left = Math.min(leftUntil(end), timeoutMs ?? Infinity)
  const deadline = left === Infinity ? Infinity : clock.now() + left
  const scope = new Scope(clock, undefined, deadline, timedOut, undefined)
  const caller = addressOf(peer)
  const context = new Context(
    scope,
    criticality ?? 'critical',
    tenant,
    caller,
    attempt ?? 1,
    false,
    undefined,
  )
  return options.trustPeers === true ? context : context.with(fromStranger, true)
}

/** What stands under a key, all of it; nothing where there is none. */
export function textOf(metadata: Metadata, name: string): string | undefined {
  const values = metadata.get(name)
  return values.length === 0 ? undefined : values.join(',')
}

/** The address in `address:port`. */
function addressOf(peer: string): string {
  const colon = peer.lastIndexOf(':')
  return colon < 0 ? peer : peer.slice(0, colon)
}
