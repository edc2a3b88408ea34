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
 * The advice in the fields of a failed answer, `undefined` if there is none. A date in `retry-after` is a time of
 * the wall clock and is measured against `wallNow`.
 */
export function adviceIn(read: Read, wallNow: () => number): Advice | undefined {
  if (read(shouldRetryHeader)?.toLowerCase() === 'false' || read(finalNackHeader) != null) return never
  const retryAfterMs = exactMs(read(retryAfterMsHeader)) ?? waitMs(read(retryAfterHeader), wallNow)
  if (retryAfterMs !== undefined) return { retry: 'later', retryAfterMs }
  return read(rejectedHeader) != null || read(nackHeader) != null ? elsewhere : undefined
}

function exactMs(text: string | null | undefined): number | undefined {
  return text != null && /^\d{1,15}$/.test(text) ? Math.min(MAX_WAIT_MS, Number(text)) : undefined
}

/** Seconds, or the date of HTTP; what is neither counts as nothing. */
function waitMs(text: string | null | undefined, wallNow: () => number): number | undefined {
  if (text == null || text === '') return undefined
  if (/^\d{1,12}$/.test(text)) return Math.min(MAX_WAIT_MS, Number(text) * 1_000)
  // Date.parse takes almost anything that has a number in it.
  const at = /^[A-Z][a-z]{2},? /.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(at) ? undefined : Math.min(MAX_WAIT_MS, Math.max(0, at - wallNow()))
}

const never: Advice = { retry: 'never' }
const elsewhere: Advice = { retry: 'elsewhere' }
