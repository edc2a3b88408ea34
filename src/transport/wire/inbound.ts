import { type Context, type ContextValues, rootContext } from '../../core/context.ts'
import { isCriticality } from '../../core/criticality.ts'
import { numberOption } from '../../core/options.ts'
import { deadlineExceeded } from '../../core/rejection.ts'
import { type Expiry, Scope } from '../../core/scope.ts'
import { fromStranger } from '../../internal/inbound-call.ts'
import { baggageHeader, parseBaggage } from './baggage.ts'
import { grpcAttemptsHeader, httpAttemptHeader } from './outbound.ts'
import { decodeGrpcTimeout, decodeHttpTimeout, grpcTimeoutHeader, httpTimeoutHeader } from './timeout.ts'

/** What a listener lets the outside say about a call. */
export interface InboundOptions {
  /**
   * The longest that a call may take here, whatever its headers ask for.
   * @default no limit
   */
  readonly timeoutMs?: number
  /**
   * Whether callers are peers whose word on criticality, tenant and attempt is taken. Leave it off wherever
   * anybody else can reach the listener: a caller who may call itself critical will. A deadline is always
   * honoured, because it can only shorten the call.
   * @default false
   */
  readonly trustPeers?: boolean
}

/** What the wire says of a call. */
export interface Inbound extends ContextValues {
  /** `undefined` for no limit. */
  readonly timeoutMs: number | undefined
}

/** All the fields in which the wire says something of a call, in lower case. */
export const inboundHeaders: readonly string[] = [
  grpcTimeoutHeader,
  httpTimeoutHeader,
  baggageHeader,
  grpcAttemptsHeader,
  httpAttemptHeader,
]

/** Reads one header or metadata key: its text, or nothing. */
export type ReadHeader = (name: string) => string | undefined

/** The longest name of a tenant that is taken from the wire; a longer one is ignored. */
const MAX_TENANT_LENGTH = 256
const MAX_ATTEMPT = 1_000

export function checkInbound(options: InboundOptions): InboundOptions {
  if (options.timeoutMs !== undefined) numberOption('timeoutMs', options.timeoutMs, { min: 0, above: true })
  return options
}

/**
 * Reads the context of an inbound call. It never throws, whatever the headers hold, and a malformed value counts
 * as none: it never buys more time or a better class than its absence.
 */
export function readInbound(read: ReadHeader, options: InboundOptions): Inbound {
  const timeoutMs = timeoutIn(read, options)
  return options.trustPeers === true ? { timeoutMs, ...valuesIn(read) } : { timeoutMs }
}

/**
 * The context of an inbound call, as `readInbound` reads it, in a scope of its own. With a `parent` it is part of a
 * call that has been opened already. Whoever asks for it closes the scope with the call.
 */
export function openInbound(
  read: ReadHeader,
  options: InboundOptions,
  caller: string | undefined,
  parent: Context = rootContext,
): Context {
  const { clock, deadline } = parent
  const timeoutMs = timeoutIn(read, options)
  const end = timeoutMs === undefined ? deadline : Math.min(deadline, clock.now() + timeoutMs)
  const outer = parent === rootContext ? undefined : parent.scope
  const scope = new Scope(clock, outer, end, timedOut, undefined)
  if (options.trustPeers !== true) return parent.opening(scope, caller, fromStranger, true)
  const told = parent.derive({ caller, ...valuesIn(read) }, scope)
  return told.get(fromStranger) ? told.with(fromStranger, false) : told
}

const timedOut: Expiry = () => deadlineExceeded('context', true)

function timeoutIn(read: ReadHeader, { timeoutMs }: InboundOptions): number | undefined {
  const grpc = parse(read(grpcTimeoutHeader), decodeGrpcTimeout)
  return shorter(timeoutMs, shorter(grpc, parse(read(httpTimeoutHeader), decodeHttpTimeout)))
}

function valuesIn(read: ReadHeader): ContextValues {
  const baggage = parse(read(baggageHeader), parseBaggage)
  const criticality = baggage?.get('criticality')
  const tenant = baggage?.get('tenant')
  return {
    ...(isCriticality(criticality) ? { criticality } : {}),
    ...(tenant !== undefined && tenant !== '' && tenant.length <= MAX_TENANT_LENGTH ? { tenant } : {}),
    attempt: attemptOf(read),
  }
}

function attemptOf(read: ReadHeader): number {
  const previous = parse(read(grpcAttemptsHeader), decodeCount)
  const attempt = previous === undefined ? parse(read(httpAttemptHeader), decodeCount) : previous + 1
  return attempt === undefined ? 1 : Math.min(MAX_ATTEMPT, Math.max(1, attempt))
}

function decodeCount(text: string): number | undefined {
  return /^\d{1,6}$/.test(text) ? Number(text) : undefined
}

function parse<T>(text: string | undefined, decode: (text: string) => T): T | undefined {
  return text === undefined ? undefined : decode(text)
}

function shorter(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || (b !== undefined && b < a) ? b : a
}
