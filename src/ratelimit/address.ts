/**
 * Addresses as identities. One person holds one IPv4 address, or a whole network of IPv6 addresses; and the same
 * IPv4 address comes in several IPv6 forms. What an address means is read from its bits, never from how it is
 * written.
 */

/** Eight words of 16 bits; an IPv4 address is its mapped form, `::ffff:a.b.c.d`. */
export type Address = readonly number[]

/** Reads an address, with or without brackets, zone and port; `undefined` for anything else. */
export function parseAddress(text: string): Address | undefined {
  if (text.length > 100) return undefined
  let bare = text.trim().replace(/^ipv[46]:/, '')
  const bracketed = /^\[([^\]]*)\](?::\d{1,5})?$/.exec(bare)
  if (bracketed !== null) bare = bracketed[1]!
  else if (/^[\d.]+:\d{1,5}$/.test(bare)) bare = bare.slice(0, bare.indexOf(':'))
  const zone = bare.indexOf('%')
  if (zone > 0) bare = bare.slice(0, zone)
  if (!bare.includes(':')) {
    const words = parseIpv4(bare)
    return words === undefined ? undefined : [0, 0, 0, 0, 0, 0xffff, ...words]
  }
  const words = parseIpv6(bare)
  return words === undefined ? undefined : (embeddedIpv4(words) ?? words)
}

function parseIpv4(text: string): readonly [number, number] | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)
  if (match === null) return undefined
  const bytes = match.slice(1).map(Number)
  // 010.0.0.1 is 8.0.0.1 to some and 10.0.0.1 to others.
  if (bytes.some((byte, i) => byte > 255 || String(byte) !== match[i + 1])) return undefined
  return [bytes[0]! * 256 + bytes[1]!, bytes[2]! * 256 + bytes[3]!]
}

function parseIpv6(text: string): Address | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const [head, tail] = halves.map(half =>
    half === '' ? [] : half.split(':').flatMap(part => wordsOf(part, text)),
  )
  const given = head!.length + (tail?.length ?? 0)
  if (tail === undefined ? given !== 8 : given > 7) return undefined
  const words = [...head!, ...new Array<number>(8 - given).fill(0), ...(tail ?? [])]
  return words.every(word => word >= 0) ? words : undefined
}

/** -1 for what is no part of an address. The last part may be written like an IPv4 address. */
function wordsOf(part: string, text: string): readonly number[] {
  if (part.includes('.') && text.indexOf(part) === text.length - part.length) return parseIpv4(part) ?? [-1]
  return [/^[\da-f]{1,4}$/i.test(part) ? Number.parseInt(part, 16) : -1]
}

/**
 * Networks whose addresses are IPv4 addresses: mapped (`::ffff:0:0/96`), behind NAT64 (`64:ff9b::/96`), and 6to4
 * (`2002::/16`), where one IPv4 address owns a whole /48.
 */
function embeddedIpv4(words: Address): Address | undefined {
  const [a, b, c, d, e, f, g, h] = words as [number, number, number, number, number, number, number, number]
  if (a === 0x2002) return [0, 0, 0, 0, 0, 0xffff, b, c]
  const middleEmpty = c === 0 && d === 0 && e === 0
  if (a === 0x64 && b === 0xff9b && middleEmpty && f === 0) return [0, 0, 0, 0, 0, 0xffff, g, h]
  return a === 0 && b === 0 && middleEmpty && f === 0xffff ? words : undefined
}

export function isIpv4(address: Address): boolean {
  return address[5] === 0xffff && address.slice(0, 5).every(word => word === 0)
}

/** The address with only its first `bits` kept. */
export function maskAddress(address: Address, bits: number): Address {
  return address.map((word, i) => {
    const kept = Math.min(16, Math.max(0, bits - 16 * i))
    return word & (0xffff << (16 - kept)) & 0xffff
  })
}

/** The one way of writing an address that this module uses. */
export function formatAddress(address: Address): string {
  if (isIpv4(address)) {
    const [high, low] = address.slice(6) as [number, number]
    return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`
  }
  return address.map(word => word.toString(16)).join(':')
}

/** A network that addresses are in or not. */
export interface Network {
  readonly prefix: Address
  readonly bits: number
}

/** Reads `10.0.0.0/8`, `2001:db8::/32`, or a single address. */
export function parseNetwork(text: string): Network | undefined {
  const [host, length, rest] = text.split('/')
  const address = parseAddress(host!)
  if (address === undefined || rest !== undefined) return undefined
  const own = isIpv4(address) && !host!.includes(':') ? 96 : 0
  const bits = length === undefined ? 128 : /^\d{1,3}$/.test(length) ? own + Number(length) : Number.NaN
  return bits <= 128 ? { prefix: maskAddress(address, bits), bits } : undefined
}

export function contains({ prefix, bits }: Network, address: Address): boolean {
  return maskAddress(address, bits).every((word, i) => word === prefix[i])
}
