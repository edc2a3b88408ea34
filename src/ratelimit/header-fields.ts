/**
 * Limits in the words of HTTP: the fields of draft-ietf-httpapi-ratelimit-headers and its problem types. Pure
 * functions of decisions, so that any transport can use them.
 *
 *   RateLimit-Policy: "per-caller";q=100;w=60     what is promised: q in every w seconds
 *   RateLimit: "per-caller";r=42;t=18             r left; after t seconds without a call, all of it
 */
import type { Decision, LimitPolicy } from './limiter.ts'

/** The largest number of a structured field. */
const MAX_INTEGER = 999_999_999_999_999

/** The value of `RateLimit` for one decision; of several limits, each is listed. Empty when nothing is limited. */
export function rateLimitField(decision: Decision): string {
  if (decision.parts !== undefined) return decision.parts.map(rateLimitField).filter(Boolean).join(', ')
  if (decision.remaining === Infinity) return ''
  const resetMs = Math.max(
    decision.retryAfterMs === Infinity ? 0 : decision.retryAfterMs,
    decision.resetAfterMs,
  )
  const t = resetMs === Infinity ? '' : `;t=${integer(Math.ceil(resetMs / 1000))}`
  return `${quoted(decision.policy)};r=${integer(decision.remaining)}${t}`
}

/** The value of `RateLimit-Policy`. Windows are whole seconds, rounded up: never promising more than is granted. */
export function rateLimitPolicyField(policies: readonly LimitPolicy[]): string {
  return policies
    .map(({ name, quota, windowMs }) => {
      const window =
        windowMs === undefined
          ? ';qu="concurrent-requests"'
          : `;w=${integer(Math.max(1, Math.ceil(windowMs / 1000)))}`
      return `${quoted(name)};q=${integer(quota)}${window}`
    })
    .join(', ')
}

/** The problem that a refusal is, for a body of type `application/problem+json` (RFC 9457). */
export interface QuotaProblem {
  readonly type: string
  readonly title: string
  readonly status: 429 | 503
  /** The limits that refused, by name. */
  readonly 'violated-policies': readonly string[]
}

/** What to answer to a call that was refused with `decision`. */
export function quotaProblem(decision: Decision): QuotaProblem {
  const parts = decision.parts ?? [decision]
  const violated = parts.filter(part => !part.allowed).map(part => part.policy)
  // Nobody used anything up: the limiter's store is out of reach and its policy is to refuse.
  const ours = decision.source === 'closed'
  return {
    type: `https://iana.org/assignments/http-problem-types#${ours ? 'temporary-reduced-capacity' : 'quota-exceeded'}`,
    title: ours ? 'The service takes fewer requests for now' : 'The quota for these requests is used up',
    status: ours ? 503 : 429,
    'violated-policies': violated,
  }
}

/** All fields for one decision, by lower-case name. */
export function rateLimitHeaders(
  decision: Decision,
  policies: readonly LimitPolicy[],
): Record<string, string> {
  const fields: Record<string, string> = {}
  const policy = rateLimitPolicyField(policies)
  if (policy !== '') fields['ratelimit-policy'] = policy
  const state = rateLimitField(decision)
  if (state !== '') fields.ratelimit = state
  const { allowed, retryAfterMs } = decision
  if (!allowed && retryAfterMs !== Infinity) fields['retry-after'] = String(Math.ceil(retryAfterMs / 1000))
  return fields
}

function integer(value: number): number {
  return value < MAX_INTEGER ? value : MAX_INTEGER
}

/** A string of a structured field has printable ASCII only. */
function quoted(name: string): string {
  return `"${name.replaceAll(/[^ -~]/g, '?').replaceAll(/["\\]/g, '\\$&')}"`
}
