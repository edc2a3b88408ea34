/** Reads one header field: its text, or nothing. */
export type ReadField = (name: string) => string | null | undefined

/** What a server said of one of its limits. */
export interface ServerLimit {
  /** How much is left. */
  readonly remaining: number
  /** When it is all there again. */
  readonly resetMs: number
  /** How much there is at most, if the server said so. */
  readonly quota: number | undefined
}

/** Waits are kept below what a timer can hold. */
const MAX_WAIT_MS = 2 ** 31 - 1

/**
 * The limits in the fields of an answer: `RateLimit` with `RateLimit-Policy`, or the three separate fields of an
 * earlier draft. What makes no sense is passed over.
 */
export function serverLimits(read: ReadField): readonly ServerLimit[] {
  const quotas = new Map<string, number>()
  for (const { name, params } of items(read('ratelimit-policy'))) {
    const quota = params.get('q')
    if (quota !== undefined) quotas.set(name, quota)
  }
  const limits: ServerLimit[] = []
  for (const { name, params } of items(read('ratelimit'))) {
    const remaining = params.get('r')
    const reset = params.get('t')
    if (remaining === undefined || reset === undefined) continue
    limits.push({ remaining, resetMs: wait(reset), quota: quotas.get(name) })
  }
  if (limits.length > 0) return limits
  const remaining = whole(read('ratelimit-remaining'))
  const reset = whole(read('ratelimit-reset'))
  if (remaining === undefined || reset === undefined) return []
  return [{ remaining, resetMs: wait(reset), quota: whole(read('ratelimit-limit')) }]
}

/**
 * How long the server asks to be left alone. A date is measured against the answer's own `Date`, so that it does not
 * matter what time it is here.
 */
export function retryAfterIn(read: ReadField): number | undefined {
  const exact = whole(read('retry-after-ms'))
  if (exact !== undefined) return Math.min(MAX_WAIT_MS, exact)
  const text = read('retry-after')
  const seconds = whole(text)
  if (seconds !== undefined) return wait(seconds)
  const at = dateIn(text)
  const from = dateIn(read('date'))
  return at === undefined || from === undefined ? undefined : Math.min(MAX_WAIT_MS, Math.max(0, at - from))
}

interface Item {
  readonly name: string
  readonly params: ReadonlyMap<string, number>
}

/** A structured field that is a list of strings with parameters (RFC 9651), as far as limits need it. */
function items(text: string | null | undefined): readonly Item[] {
  const found: Item[] = []
  const item =
    /"((?:[^"\\]|\\.){0,200})"((?:\s*;\s*[a-z*][\w.*-]{0,30}(?:=(?:"(?:[^"\\]|\\.)*"|[^";,]*))?)*)/g
  // Whole parameters, quoted ones too, so that nothing in quotes is taken for one.
  const param = /;\s*([a-z*][\w.*-]*)(?:=("(?:[^"\\]|\\.)*"|[^";,]*))?/g
  for (const [, name, rest] of (text ?? '').slice(0, 4000).matchAll(item)) {
    const params = new Map<string, number>()
    for (const [, key, value] of rest!.matchAll(param)) {
      const number = whole(value?.trim())
      if (number !== undefined) params.set(key!, number)
    }
    found.push({ name: name!, params })
  }
  return found
}

function whole(text: string | null | undefined): number | undefined {
  return text != null && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

function wait(seconds: number): number {
  return Math.min(MAX_WAIT_MS, seconds * 1000)
}

/** A date in the one format that is written: `Sun, 06 Nov 1994 08:49:37 GMT`. */
function dateIn(text: string | null | undefined): number | undefined {
  if (text == null || !/^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} [\d:]{8} GMT$/.test(text)) return undefined
  const at = Date.parse(text)
  return Number.isNaN(at) ? undefined : at
}
