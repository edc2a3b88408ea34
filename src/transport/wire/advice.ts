/**
 * What a server says about trying again, in HTTP. The gRPC adapter has its own trailers; `x-rejected` is in both.
 */
import type { Advice } from '../../core/advice.ts'

/** `false`: nobody may try again. Other kits write `true` as well; that alone says nothing about what was done. */
export const shouldRetryHeader = 'x-should-retry'
export const retryAfterHeader = 'retry-after'
/** The same as `retry-after` in milliseconds: whole seconds would bring callers back all at once. */
export const retryAfterMsHeader = 'retry-after-ms'
/** Why the request was refused before anything was done about it. */
export const rejectedHeader = 'x-rejected'

/** What Finagle's servers write on a refusal: before the work began, and to be tried again, or never. */
const nackHeader = 'finagle-http-nack'
const finalNackHeader = 'finagle-http-nonretryable-nack'

const MAX_WAIT_MS = 2 ** 31 - 1

/** Reads one header field: its text, or nothing. */
type Read = (name: string) => string | null | undefined

/**
 * The advice in the fields of a failed answer, `undefined` if there is none. A date in `retry-after` is measured
 * against the `date` of the same answer, so that nobody's wall clock has to agree with anybody else's.
 */
export function adviceIn(read: Read): Advice | undefined {
  if (read(shouldRetryHeader)?.toLowerCase() === 'false' || read(finalNackHeader) != null) return never
  const retryAfterMs = exactMs(read(retryAfterMsHeader)) ?? waitMs(read(retryAfterHeader), read('date'))
  if (retryAfterMs !== undefined) return { retry: 'later', retryAfterMs }
  return read(rejectedHeader) != null || read(nackHeader) != null ? elsewhere : undefined
}

function exactMs(text: string | null | undefined): number | undefined {
  return text != null && /^\d{1,15}$/.test(text) ? Math.min(MAX_WAIT_MS, Number(text)) : undefined
}

/** Seconds, or the date of HTTP; what is neither counts as nothing. */
function waitMs(text: string | null | undefined, date: string | null | undefined): number | undefined {
  if (text == null || text === '') return undefined
  if (/^\d{1,12}$/.test(text)) return Math.min(MAX_WAIT_MS, Number(text) * 1_000)
  const wait = timeOf(text) - timeOf(date)
  return Number.isNaN(wait) ? undefined : Math.min(MAX_WAIT_MS, Math.max(0, wait))
}

/** A date of HTTP in milliseconds; NaN for anything else, of which `Date.parse` takes almost all. */
function timeOf(text: string | null | undefined): number {
  return text != null && /^[A-Z][a-z]{2},? /.test(text) ? Date.parse(text) : Number.NaN
}

const never: Advice = { retry: 'never' }
const elsewhere: Advice = { retry: 'elsewhere' }
