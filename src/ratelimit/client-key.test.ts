import { describe, expect, it, vi } from 'vitest'
import { createContext } from '../core/context.ts'
import { type ClientKeyOptions, clientKey } from './client-key.ts'

/** Who calls, with this connection and this header. */
function keyOf(
  peer: string | undefined,
  forwarded?: string | string[],
  options: ClientKeyOptions = { proxies: 0 },
): string {
  const headers = { [options.header ?? 'x-forwarded-for']: forwarded }
  return clientKey(options)({ socket: { remoteAddress: peer }, headers })
}

describe('clientKey of a connection', () => {
  it.each([
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['::FFFF:c000:0207', '192.0.2.7'],
    ['0:0:0:0:0:ffff:192.0.2.7', '192.0.2.7'],
    ['64:ff9b::192.0.2.7', '192.0.2.7'],
    ['2002:c000:207:1::5', '192.0.2.7'],
    ['192.0.2.7:8080', '192.0.2.7'],
    ['[2001:db8::1]:8080', '2001:db8:0:0:0:0:0:0/56'],
    ['fe80::1%eth0', 'fe80:0:0:0:0:0:0:0/56'],
    ['2001:db8:1:2ff:3:4:5:6', '2001:db8:1:200:0:0:0:0/56'],
    ['::1', '0:0:0:0:0:0:0:0/56'],
    ['ipv4:192.0.2.7:5000', '192.0.2.7'],
    ['ipv6:[2001:db8::1]:5000', '2001:db8:0:0:0:0:0:0/56'],
    [undefined, 'unknown'],
    ['', 'unknown'],
    ['nonsense', 'unknown'],
    ['300.1.1.1', 'unknown'],
    ['010.0.0.1', 'unknown'],
    ['1.2.3', 'unknown'],
    ['1:2:3:4:5:6:7', 'unknown'],
    ['1::2::3', 'unknown'],
    ['1:2:3:4:5:6:7:8:9', 'unknown'],
    ['1.2.3.4::', 'unknown'],
    ['12345::', 'unknown'],
    [':1:2:3:4:5:6:7', 'unknown'],
    ['x'.repeat(1000), 'unknown'],
  ])('%s is %s', (peer, key) => {
    expect(keyOf(peer)).toBe(key)
  })

  it('does not put all IPv4 callers of a dual-stack server into one bucket', () => {
    expect(keyOf('::ffff:192.0.2.7')).not.toBe(keyOf('::ffff:192.0.2.8'))
  })

  it('counts a caller behind NAT64 or 6to4 by his IPv4 address, and does not put all of them into one bucket', () => {
    for (const text of [
      '64:ff9b::192.0.2.7',
      '64:FF9B:0::c000:207',
      '[64:ff9b::c000:207]:443',
      '2002:c000:207::1',
    ]) {
      expect(keyOf(text)).toBe('192.0.2.7')
    }
    expect(keyOf('64:ff9b::192.0.2.7')).not.toBe(keyOf('64:ff9b::192.0.2.8'))
    // What only looks like it is a network of its own.
    expect(keyOf('64:ff9b:1::c000:207')).toBe('64:ff9b:1:0:0:0:0:0/56')
    expect(keyOf('10.0.0.1', '64:ff9b::192.0.2.7', { proxies: 1 })).toBe('192.0.2.7')
  })

  it('gives one caller’s network one key, as wide as it is told', () => {
    expect(keyOf('2001:db8:0:1:a::')).toBe(keyOf('2001:db8:0:2:b::'))
    expect(keyOf('2001:db8:0:1:a::')).not.toBe(keyOf('2001:db8:0:100::'))
    const narrow = { proxies: 0, ipv6Prefix: 64 }
    expect(keyOf('2001:db8:0:1:a::', undefined, narrow)).not.toBe(
      keyOf('2001:db8:0:2:b::', undefined, narrow),
    )
    expect(keyOf('2001:db8::1', undefined, { proxies: 0, ipv6Prefix: 128 })).toBe('2001:db8:0:0:0:0:0:1')
    expect(keyOf('192.0.2.7', undefined, { proxies: 0, ipv4Prefix: 24 })).toBe('192.0.2.0/24')
  })

  it('takes the caller of the context where there is no connection', () => {
    expect(clientKey({ proxies: 0 })({}, createContext({ caller: 'ipv4:192.0.2.7:443' }))).toBe('192.0.2.7')
  })
})

describe('clientKey behind proxies', () => {
  const proxy = '10.0.0.1'

  it('believes only as many hops as there are proxies', () => {
    expect(keyOf(proxy, '203.0.113.9', { proxies: 1 })).toBe('203.0.113.9')
    expect(keyOf(proxy, '6.6.6.6, 203.0.113.9', { proxies: 1 })).toBe('203.0.113.9')
    expect(keyOf(proxy, '6.6.6.6, 203.0.113.9, 10.0.0.2', { proxies: 2 })).toBe('203.0.113.9')
    expect(keyOf(proxy, '203.0.113.9', { proxies: 3 })).toBe('203.0.113.9')
    expect(keyOf(proxy, '203.0.113.9', { proxies: 0 })).toBe(proxy)
    expect(keyOf(proxy, undefined, { proxies: 1 })).toBe(proxy)
  })

  it('believes the proxies that it knows by address, however many there are', () => {
    const proxies = ['10.0.0.0/8', '2001:db8::/32', '192.0.2.1']
    expect(keyOf(proxy, '6.6.6.6, 203.0.113.9, 192.0.2.1, 2001:db8::5', { proxies })).toBe('203.0.113.9')
    expect(keyOf('::ffff:10.1.2.3', '203.0.113.9', { proxies })).toBe('203.0.113.9')
    // Somebody who is no proxy, and writes the header himself.
    expect(keyOf('203.0.113.9', '10.0.0.1', { proxies })).toBe('203.0.113.9')
    expect(keyOf(proxy, '10.0.0.3, 10.0.0.2', { proxies })).toBe('10.0.0.3')
    expect(keyOf(undefined, '203.0.113.9', { proxies })).toBe('203.0.113.9')
  })

  it('masks what the header says as it does the connection’s address', () => {
    expect(keyOf(proxy, '2001:db8:0:1::9', { proxies: 1 })).toBe(
      keyOf(proxy, '2001:db8:0:2::8', { proxies: 1 }),
    )
    expect(keyOf(proxy, '::ffff:203.0.113.9', { proxies: 1 })).toBe('203.0.113.9')
    expect(keyOf(proxy, '[2001:db8::1]:4711', { proxies: 1 })).toBe('2001:db8:0:0:0:0:0:0/56')
  })

  it('stops at what is no address', () => {
    expect(keyOf(proxy, '6.6.6.6, nonsense', { proxies: 2 })).toBe(proxy)
    expect(keyOf(proxy, ',,,', { proxies: 2 })).toBe(proxy)
    expect(keyOf(proxy, ', '.repeat(10_000), { proxies: 2 })).toBe(proxy)
  })

  it('reads a header that comes in several lines, headers as fetch has them, and other headers', () => {
    expect(keyOf(proxy, ['6.6.6.6', '203.0.113.9'], { proxies: 1 })).toBe('203.0.113.9')
    const headers = new Headers({ 'X-Forwarded-For': '203.0.113.9' })
    expect(clientKey({ proxies: 1 })({ headers })).toBe('203.0.113.9')
    expect(keyOf(proxy, '203.0.113.9', { proxies: 1, header: 'cf-connecting-ip' })).toBe('203.0.113.9')
    const forwarded = 'for=6.6.6.6, for="[2001:db8:cafe::17]:4711";proto=https;by=10.0.0.1'
    expect(keyOf(proxy, forwarded, { proxies: 1, header: 'forwarded' })).toBe('2001:db8:cafe:0:0:0:0:0/56')
    expect(keyOf(proxy, 'for=_hidden', { proxies: 1, header: 'forwarded' })).toBe(proxy)
  })

  it('warns once when there seems to be a proxy that it was not told of', async () => {
    const warned = vi.fn()
    process.on('warning', warned)
    const key = clientKey()
    for (let i = 0; i < 3; i++) {
      expect(key({ socket: { remoteAddress: proxy }, headers: { 'x-forwarded-for': '6.6.6.6' } })).toBe(proxy)
    }
    await new Promise(setImmediate)
    process.off('warning', warned)
    const codes = warned.mock.calls.map(([warning]) => warning.code)
    expect(codes.filter(code => code === 'SPILLWAY_PROXY_NOT_TRUSTED')).toHaveLength(1)
  })

  it('refuses to believe everybody', () => {
    for (const proxies of [true, ['0.0.0.0/0'], ['::/0'], ['10.0.0.0/8', '::ffff:0:0/96']] as never[]) {
      expect(() => clientKey({ proxies })).toThrow(
        expect.objectContaining({ code: 'SPILLWAY_PROXY_TRUSTS_ALL' }),
      )
    }
  })

  it.each([
    [{ proxies: -1 }, /proxies/],
    [{ proxies: 1.5 }, /proxies/],
    [{ proxies: ['nonsense'] }, /nonsense/],
    [{ proxies: ['10.0.0.0/33'] }, /10\.0\.0\.0\/33/],
    [{ proxies: ['10.0.0.0/8/8'] }, /proxies/],
    [{ proxies: [7] as never }, /proxies/],
    [{ ipv6Prefix: 0 }, /ipv6Prefix/],
    [{ ipv4Prefix: 33 }, /ipv4Prefix/],
    [{ header: '' }, /header/],
    [{ trustProxy: 1 } as never, /no option/],
  ])('refuses options that make no sense: %j', (options, message) => {
    expect(() => clientKey(options)).toThrow(message)
  })
})
