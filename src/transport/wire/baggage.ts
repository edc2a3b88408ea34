/**
 * W3C Baggage (https://www.w3.org/TR/baggage/): `key=value;property, key=value`. The kit reads and writes two
 * members, `criticality` and `tenant`, and passes every other one on as it found it.
 */
export const baggageHeader = 'baggage'

/** The limits of the specification; a header beyond them is not read at all. */
const MAX_BYTES = 8_192
const MAX_MEMBERS = 180

export type Baggage = ReadonlyMap<string, string>

/** The members of a baggage header. What is malformed is left out; a header over the limits has none. */
export function parseBaggage(header: string): Baggage {
  const members = new Map<string, string>()
  if (header.length > MAX_BYTES) return members
  const parts = header.split(',')
  if (parts.length > MAX_MEMBERS) return members
  for (const part of parts) {
    const [pair = ''] = part.split(';', 1)
    const at = pair.indexOf('=')
    if (at < 0) continue
    const name = pair.slice(0, at).trim()
    const value = decode(pair.slice(at + 1).trim())
    if (name !== '' && value !== undefined) members.set(name, value)
  }
  return members
}

/** `header` with `values` put in place of the members of the same names. Values of `undefined` remove theirs. */
export function mergeBaggage(
  header: string | undefined,
  values: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const kept = (header ?? '')
    .split(',')
    .map(part => part.trim())
    .filter(part => part !== '' && !Object.hasOwn(values, nameOf(part)))
  for (const [key, value] of Object.entries(values)) {
    if (value !== undefined) kept.push(`${key}=${encode(value)}`)
  }
  return kept.length === 0 ? undefined : kept.join(',')
}

/** The name of a member, which may have no value but properties only. */
function nameOf(member: string): string {
  return member.split(/[=;]/, 1)[0]!.trim()
}

/** A string cut in the middle of a character has no encoding; what is left of that character is replaced. */
function encode(text: string): string {
  return encodeURIComponent(text.replaceAll(/\p{Surrogate}/gu, '\ufffd'))
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
