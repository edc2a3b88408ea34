/**
 * What an error means for whoever asked, read from its shape alone: the code of a system error, an HTTP or a
 * gRPC status, on the error itself or on the nearest of its causes that has one.
 */
import { isRejection } from '../core/rejection.ts'

/**
 * - `never-sent`: the work never began, so that any call may be repeated.
 * - `transient`: it cannot be done now and perhaps can be soon: unavailable, connection lost, an attempt's time is up.
 * - `overloaded`: a quota or the capacity is used up.
 * - `timed-out`: the time that was given for the work ran out where it was done.
 * - `broken`: it was tried, and failed for a reason of its own.
 * - `answered`: the request is at fault, and would be again.
 * - `cancelled`: nobody waits for it any more.
 * - `bug`: a mistake in the program that calls.
 * - `unknown`: the error says nothing.
 */
export type Failure =
  | 'never-sent'
  | 'transient'
  | 'overloaded'
  | 'timed-out'
  | 'broken'
  | 'answered'
  | 'cancelled'
  | 'bug'
  | 'unknown'

/** Causes are followed this far. */
const MAX_DEPTH = 8

const byCode: ReadonlyMap<unknown, Failure> = new Map<unknown, Failure>([
  ['ECONNREFUSED', 'never-sent'],
  ['ENOTFOUND', 'never-sent'],
  ['EAI_AGAIN', 'never-sent'],
  ['EHOSTUNREACH', 'never-sent'],
  ['EHOSTDOWN', 'never-sent'],
  ['ENETUNREACH', 'never-sent'],
  ['ENETDOWN', 'never-sent'],
  ['UND_ERR_CONNECT_TIMEOUT', 'never-sent'],
  ['ERR_HTTP2_GOAWAY_SESSION', 'never-sent'],
  ['ECONNRESET', 'transient'],
  ['ECONNABORTED', 'transient'],
  ['EPIPE', 'transient'],
  ['ETIMEDOUT', 'transient'],
  ['ESOCKETTIMEDOUT', 'transient'],
  ['UND_ERR_SOCKET', 'transient'],
  ['UND_ERR_HEADERS_TIMEOUT', 'transient'],
  ['UND_ERR_BODY_TIMEOUT', 'transient'],
  ['ERR_HTTP2_SESSION_ERROR', 'transient'],
  ['ERR_HTTP2_STREAM_CANCEL', 'transient'],
  ['ABORT_ERR', 'cancelled'],
  ['UND_ERR_ABORTED', 'cancelled'],
])

/** By gRPC status code, from OK, which is no error, to UNAUTHENTICATED. */
const byGrpcStatus: readonly Failure[] = [
  'unknown',
  'cancelled',
  'broken', // UNKNOWN
  'answered', // INVALID_ARGUMENT
  'timed-out', // DEADLINE_EXCEEDED
  'answered', // NOT_FOUND
  'answered', // ALREADY_EXISTS
  'answered', // PERMISSION_DENIED
  'overloaded', // RESOURCE_EXHAUSTED
  'answered', // FAILED_PRECONDITION
  'answered', // ABORTED: to be repeated from a higher level, if at all
  'answered', // OUT_OF_RANGE
  'broken', // UNIMPLEMENTED
  'broken', // INTERNAL
  'transient', // UNAVAILABLE
  'broken', // DATA_LOSS
  'answered', // UNAUTHENTICATED
]

/** Everything that an error may have to say for itself. Every field is somebody's convention, none is certain. */
interface Shape {
  readonly code?: unknown
  readonly syscall?: unknown
  readonly details?: unknown
  readonly metadata?: unknown
  readonly status?: unknown
  readonly statusCode?: unknown
  readonly response?: { readonly status?: unknown }
  readonly name?: unknown
  readonly message?: unknown
  readonly originalError?: unknown
  readonly cause?: unknown
}

export function failureOf(error: unknown): Failure {
  let current = error
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    if (typeof current !== 'object' || current === null) break
    const shape = current as Shape
    const failure = failureOfOne(shape)
    if (failure !== undefined) return failure
    current = shape.originalError ?? shape.cause
  }
  return isBug(error) ? 'bug' : 'unknown'
}

function failureOfOne(error: Shape): Failure | undefined {
  if (isRejection(error)) return failureOfRejection(error.reason, error.begun)
  const { code } = error
  if (typeof code === 'string') {
    // A connection that could not be made, or a TLS handshake that was cut off: nothing has been sent yet.
    if (error.syscall === 'connect' || isRefusedStream(code, error.message)) return 'never-sent'
    const failure = byCode.get(code)
    if (failure !== undefined) return failure
  } else if (typeof code === 'number' && (error.details !== undefined || error.metadata !== undefined)) {
    return byGrpcStatus[code]
  }
  const status = error.status ?? error.statusCode ?? error.response?.status
  if (typeof status === 'number') return failureOfHttp(status)
  // The errors of an AbortSignal. p-retry has an AbortError too: that one wraps the error that it is about.
  if (error.name === 'AbortError' && error.originalError === undefined) return 'cancelled'
  return error.name === 'TimeoutError' ? 'transient' : undefined
}

function failureOfRejection(reason: string, begun: boolean): Failure {
  if (reason === 'cancelled') return 'cancelled'
  if (reason === 'deadline-exceeded') return 'timed-out'
  return begun ? 'unknown' : 'never-sent'
}

function isRefusedStream(code: string, message: unknown): boolean {
  return (
    code === 'ERR_HTTP2_STREAM_ERROR' && typeof message === 'string' && message.includes('REFUSED_STREAM')
  )
}

function failureOfHttp(status: number): Failure | undefined {
  if (status >= 400 && status < 500) {
    if (status === 429) return 'overloaded'
    return status === 408 || status === 425 ? 'transient' : 'answered'
  }
  if (status >= 500 && status < 600) {
    return status >= 502 && status <= 504 ? 'transient' : 'broken'
  }
  return undefined
}

function isBug(error: unknown): boolean {
  return (
    error instanceof TypeError ||
    error instanceof RangeError ||
    error instanceof ReferenceError ||
    error instanceof SyntaxError
  )
}
