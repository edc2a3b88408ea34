/**
 * Refusals as gRPC statuses. What a caller should do next travels in trailers that any standard client reads:
 *
 *   grpc-retry-pushback-ms: -1    never try again
 *   grpc-retry-pushback-ms: N     try again after N ms; google.rpc.RetryInfo says the same
 *   x-rejected: <reason>          refused before the work began, so that another replica may be asked
 */
import { Metadata, type StatusObject, status } from '@grpc/grpc-js'
import { type Advice, adviceOf } from '../../core/advice.ts'
import { isRejection, type Reason, type Rejection } from '../../core/rejection.ts'
import { rejectedHeader } from '../wire/advice.ts'
import { encodeRetryInfo, statusDetailsKey } from './status-details.ts'

export const pushbackKey = 'grpc-retry-pushback-ms'

/** The longest wait that a caller is asked for: what fits into a timer. */
export const MAX_PUSHBACK_MS: number = 2 ** 31 - 1

interface Answer {
  readonly code: status
  /** For the caller: nothing in it may tell how the service is built. */
  readonly details: string
}

const answers: Readonly<Record<Reason, Answer>> = {
  'rate-limited': { code: status.RESOURCE_EXHAUSTED, details: 'Too many requests' },
  shed: { code: status.UNAVAILABLE, details: 'Overloaded' },
  throttled: { code: status.UNAVAILABLE, details: 'Overloaded' },
  'breaker-open': { code: status.UNAVAILABLE, details: 'Temporarily unavailable' },
  'bulkhead-full': { code: status.UNAVAILABLE, details: 'Too many requests in progress' },
  'deadline-exceeded': { code: status.DEADLINE_EXCEEDED, details: 'Deadline exceeded' },
  cancelled: { code: status.CANCELLED, details: 'Cancelled' },
  'retries-exhausted': { code: status.UNAVAILABLE, details: 'Temporarily unavailable' },
  'no-endpoint': { code: status.UNAVAILABLE, details: 'Temporarily unavailable' },
  'fault-injected': { code: status.UNAVAILABLE, details: 'Temporarily unavailable' },
}

export const reasons: readonly Reason[] = Object.keys(answers) as Reason[]

/** Codes that say something of the request. Those of other codes talk of machines, and stay inside. */
const aboutTheRequest: ReadonlySet<number> = new Set([
  status.INVALID_ARGUMENT,
  status.NOT_FOUND,
  status.ALREADY_EXISTS,
  status.PERMISSION_DENIED,
  status.UNAUTHENTICATED,
  status.FAILED_PRECONDITION,
  status.ABORTED,
  status.OUT_OF_RANGE,
])

/** Errors of calls that this process made. What they say was meant for it and not for its own callers. */
const fromBelow = new WeakSet<object>()

/** @internal Notes that `error` is the answer to a call that this process made. */
export function noteFromBelow(error: object): void {
  fromBelow.add(error)
}

/** The gRPC status of a refusal. */
export function statusOfReason(reason: Reason): status {
  return answers[reason].code
}

/**
 * What a failed call is answered with. A refusal becomes the status of its reason. An error with a numeric `code`
 * and `details` is a status already and passes, with its metadata if the handler made it itself. Everything else is
 * `UNKNOWN`, and what it says stays in the process.
 *
 * `begun` tells whether the handler had been reached: only before that can another replica be asked instead.
 */
export function statusOf(error: unknown, begun: boolean = true): StatusObject {
  const metadata = new Metadata()
  if (isRejection(error)) {
    const { code, details } = answers[error.reason] ?? unknown
    writeAdvice(metadata, code, details, error)
    if (!begun && !error.begun) metadata.set(rejectedHeader, error.reason)
    return { code, details, metadata }
  }
  const { code, details } = isStatus(error) ? speakable(error) : unknown
  if (isStatus(error) && error.metadata instanceof Metadata && !fromBelow.has(error)) {
    metadata.merge(error.metadata)
  }
  const advice = adviceOf(error)
  if (advice !== undefined) writeAdvice(metadata, code, details, advice)
  return { code, details, metadata }
}

/** The status of a call that failed on this side: it goes no further than this process, and may say all it knows. */
export function callStatusOf(error: unknown): StatusObject {
  const { code, metadata } = statusOf(error)
  if (isStatus(error)) {
    if (error.metadata instanceof Metadata && fromBelow.has(error)) metadata.merge(error.metadata)
    return { code, details: error.details, metadata }
  }
  return { code, details: error instanceof Error ? error.message : String(error), metadata }
}

/** Whether `error` is a status by its shape: what grpc-js fails with, or a handler's own `{ code, details }`. */
export function isStatus(error: unknown): error is Error & Partial<StatusObject> & Answer {
  if (typeof error !== 'object' || error === null) return false
  const { code, details } = error as Partial<Answer>
  return Number.isInteger(code) && code! > 0 && code! <= 16 && typeof details === 'string'
}

const LONE = /\p{Surrogate}/gu

const unknown: Answer = { code: status.UNKNOWN, details: 'Internal error' }

function speakable(error: Answer): Answer {
  const { code, details } = error
  // grpc-js encodes details as a URI, and has no answer to half a surrogate pair but to throw.
  if (!fromBelow.has(error) || aboutTheRequest.has(code))
    return { code, details: details.replace(LONE, '\ufffd') }
  return { code, details: 'A service behind this one failed' }
}

function writeAdvice(metadata: Metadata, code: number, details: string, advice: Advice | Rejection): void {
  if (metadata.get(pushbackKey).length > 0) return
  if (advice.retry === 'never') metadata.set(pushbackKey, '-1')
  if (advice.retry !== 'later') return
  const delayMs = Math.min(MAX_PUSHBACK_MS, Math.max(0, Math.ceil(advice.retryAfterMs ?? 0)))
  metadata.set(pushbackKey, String(delayMs))
  if (metadata.get(statusDetailsKey).length === 0) {
    metadata.set(statusDetailsKey, encodeRetryInfo(code, details, delayMs))
  }
}
