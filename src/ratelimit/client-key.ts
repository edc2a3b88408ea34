/**
 * Who a request comes from, by address. Every proxy on the way appends the address it was called from, so the list
 * in the header is to be read from the end, and only as far as the proxies in front of the service wrote it: what
 * stands before that, the caller wrote himself.
 *
 *   hops   the other end of the connection, then the header's addresses from the last to the first
 *   client the first of the hops that is not one of our proxies
 */
import type { Context } from '../core/context.ts'
import { knownOptions, nameOption, numberOption } from '../core/options.ts'
import {
  type Address,
  contains,
  formatAddress,
  isIpv4,
  maskAddress,
  type Network,
  parseAddress,
  parseNetwork,
} from './address.ts'
import { refuseTrustAll, warnForwarded } from './config-checks.ts'

export interface ClientKeyOptions {
  /**
   * The proxies in front of the service: how many, or their networks (`['10.0.0.0/8']`). With a number, nobody must
   * be able to reach the service past them.
   * @default none, and a warning when a request looks as if there were one
   */
  readonly proxies?: number | readonly string[]
  /** The header that the proxies write; a list, or a single address. @default 'x-forwarded-for' */
  readonly header?: string
  /** How much of an IPv6 address is one caller: providers hand out /56 and /64. @default 56 */
  readonly ipv6Prefix?: number
  /** How much of an IPv4 address is one caller. @default 32 */
  readonly ipv4Prefix?: number
}

/** What `clientKey` reads of a request: that of node:http, of express, or of fetch. */
export interface AddressedRequest {
  readonly socket?: { readonly remoteAddress?: string | undefined } | undefined
  readonly headers?:
    | { readonly [name: string]: unknown }
    | { readonly get: (name: string) => string | null }
    | undefined
}

/** Nobody can tell whose these are, so they share one limit. */
const UNKNOWN = 'unknown'
/** More proxies than this in a row is not a chain of proxies but somebody's joke. */
const MAX_HOPS = 32

/** Makes a `key` for `rateLimit` that tells callers apart by address. */
export function clientKey(
  options: ClientKeyOptions = {},
): (request: AddressedRequest, context?: Context) => string {
  knownOptions('clientKey', options, ['proxies', 'header', 'ipv6Prefix', 'ipv4Prefix'])
  const { proxies } = options
  const header = nameOption('header', options.header ?? 'x-forwarded-for').toLowerCase()
  const ipv6Prefix = numberOption('ipv6Prefix', options.ipv6Prefix ?? 56, {
    min: 32,
    max: 128,
    integer: true,
  })
  const ipv4Prefix = numberOption('ipv4Prefix', options.ipv4Prefix ?? 32, { min: 8, max: 32, integer: true })
  const isProxy = proxyTest(proxies)

  return (request, context) => {
    const peer = parseAddress(request?.socket?.remoteAddress ?? context?.caller ?? '')
    let client = peer
    const written = fieldOf(request, header)
    if (written !== undefined && proxies === undefined) warnForwarded(header)
    if (written !== undefined && proxies !== 0 && proxies !== undefined) {
      const hops = hopsIn(written, header)
      for (let i = 0; i < hops.length && isProxy(client, i); i++) {
        const hop = parseAddress(hops[i]!)
        // Whoever wrote this is one of ours, but what he wrote is no address: he is the last one that we know.
        if (hop === undefined) break
        client = hop
      }
    }
    if (client === undefined) return UNKNOWN
    const bits = isIpv4(client) ? 96 + ipv4Prefix : ipv6Prefix
    const masked = formatAddress(maskAddress(client, bits))
    return bits === 128 ? masked : `${masked}/${isIpv4(client) ? ipv4Prefix : ipv6Prefix}`
  }
}

function proxyTest(proxies: ClientKeyOptions['proxies']): (hop: Address | undefined, i: number) => boolean {
  if ((proxies as unknown) === true) refuseTrustAll()
  if (proxies === undefined) return () => false
  if (!Array.isArray(proxies)) {
    const count = numberOption('proxies', proxies, { min: 0, max: MAX_HOPS, integer: true })
    return (_, i) => i < count
  }
  const networks = proxies.map((text: string): Network => {
    const network = typeof text === 'string' ? parseNetwork(text) : undefined
    if (network === undefined) {
      throw new TypeError(
        `Expected \`proxies\` to list addresses or networks such as '10.0.0.0/8', got ${text}`,
      )
    }
    if (network.bits === 0 || (network.bits <= 96 && isIpv4(network.prefix))) refuseTrustAll()
    return network
  })
  // A connection without an address is one on this machine, over a socket in the file system: a proxy's.
  return hop => hop === undefined || networks.some(network => contains(network, hop))
}

/** The addresses that a header lists, the last one first. */
function hopsIn(written: string, header: string): readonly string[] {
  const list = written.split(',').slice(-MAX_HOPS).reverse()
  if (header !== 'forwarded') return list
  // RFC 7239: for=192.0.2.43, for="[2001:db8::1]:4711";proto=https
  return list.map(element => /(?:^|;)\s*for\s*=\s*"?([^";]*)"?/i.exec(element)?.[1] ?? '')
}

function fieldOf(request: AddressedRequest | undefined, name: string): string | undefined {
  const headers = request?.headers
  if (headers === undefined) return undefined
  const value =
    typeof headers.get === 'function'
      ? (headers.get as (name: string) => unknown)(name)
      : (headers as Readonly<Record<string, unknown>>)[name]
  if (Array.isArray(value)) return value.join(',')
  return typeof value === 'string' && value !== '' ? value : undefined
}
