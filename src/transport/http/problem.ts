/**
 * Refusals as HTTP answers: a status, header fields, and a body that says what kind of problem it is
 * (RFC 9457, https://www.rfc-editor.org/rfc/rfc9457). What a caller should do next travels in fields that clients
 * of many kinds read already:
 *
 *   x-should-retry: false     never try again
 *   retry-after: seconds      try again after that long, rounded up; retry-after-ms says it exactly
 *   x-rejected: <reason>      refused before the work began, so that another replica may be asked
 */
import { STATUS_CODES } from 'node:http'
import { type Advice, adviceOf } from '../../core/advice.ts'
import { isRejection, type Reason, type Rejection } from '../../core/rejection.ts'
import { rejectedHeader, retryAfterHeader, retryAfterMsHeader, shouldRetryHeader } from '../wire/advice.ts'

/** An answer that is ready to be sent, by whatever sends answers. */
export interface Problem {
  readonly status: number
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** The text of a JSON document, in ASCII. */
  readonly body: string
}

export interface ProblemOptions {
  /**
   * Whether this service may have begun to work on the request. Only before that can another replica be asked
   * instead.
   * @default true
   */
  readonly begun?: boolean
}

interface Kind {
  readonly status: number
  readonly body: string
}

const kinds: Readonly<Record<Reason, Kind>> = {
  // Not one of the kit's own: the type that draft-ietf-httpapi-ratelimit-headers registers for this.
  'rate-limited': typed(
    'https://iana.org/assignments/http-problem-types#quota-exceeded',
    429,
    'Too many requests',
  ),
  shed: kind('shed', 503, 'Overloaded'),
  throttled: kind('throttled', 503, 'Overloaded'),
  'breaker-open': kind('breaker-open', 503, 'Temporarily unavailable'),
  'bulkhead-full': kind('bulkhead-full', 503, 'Too many requests in progress'),
  'deadline-exceeded': kind('deadline-exceeded', 504, 'Deadline exceeded'),
  cancelled: kind('cancelled', 503, 'Cancelled'),
  'retries-exhausted': kind('retries-exhausted', 503, 'Temporarily unavailable'),
  'no-endpoint': kind('no-endpoint', 503, 'Temporarily unavailable'),
  'fault-injected': kind('fault-injected', 503, 'Temporarily unavailable'),
}

/** For errors of others, and for reasons that another version of the kit may know. */
const unavailable: Kind = plain(503)
const broken: Kind = plain(500)

/** The longest wait that a caller is asked for: what fits into a timer. */
const MAX_WAIT_MS = 2 ** 31 - 1

/**
 * The answer for `error`, if the kit has one: for a refusal, and for an error that carries advice, which comes from
 * a dependency that could not do its part. `undefined` for every other error. Nothing that names a policy, a
 * dependency or a cause gets into it.
 */
export function problemOf(error: unknown, options: ProblemOptions = {}): Problem | undefined {
  if (isRejection(error)) {
    const rejected = options.begun === false && !error.begun
    return problem(kinds[error.reason] ?? unavailable, error, rejected ? error.reason : undefined)
  }
  const advice = adviceOf(error)
  return advice === undefined ? undefined : problem(unavailable, advice, undefined)
}

/** The answer for an error that nobody has one for. */
export function brokenProblem(): Problem {
  return problem(broken, undefined, undefined)
}

function problem(
  { status, body }: Kind,
  advice: Advice | Rejection | undefined,
  rejected: string | undefined,
): Problem {
  const headers: Record<string, string> = {
    'content-type': 'application/problem+json',
    'content-length': String(body.length),
    'cache-control': 'no-store',
  }
  if (advice?.retry === 'never') headers[shouldRetryHeader] = 'false'
  else if (advice?.retryAfterMs !== undefined && advice.retryAfterMs > 0) {
    const waitMs = Math.min(MAX_WAIT_MS, Math.ceil(advice.retryAfterMs))
    headers[retryAfterHeader] = String(Math.ceil(waitMs / 1_000))
    headers[retryAfterMsHeader] = String(waitMs)
  }
  if (rejected !== undefined) headers[rejectedHeader] = rejected
  return { status, headers, body }
}

function kind(reason: Reason, status: number, title: string): Kind {
  return typed(`urn:spillway:${reason}`, status, title)
}

function typed(type: string, status: number, title: string): Kind {
  return { status, body: JSON.stringify({ type, title, status }) }
}

/** A problem that its status says everything of. */
function plain(status: number): Kind {
  return { status, body: JSON.stringify({ type: 'about:blank', title: STATUS_CODES[status], status }) }
}
