import { isIPv4, isIPv6 } from 'node:net'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { contains, formatAddress, maskAddress, parseAddress, parseNetwork } from './address.ts'

describe('parseAddress', () => {
  it('reads every address that the platform reads, and finds it again', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), text => {
        const address = parseAddress(text)
        expect(address).toHaveLength(8)
        expect(parseAddress(formatAddress(address!))).toEqual(address)
      }),
    )
  })

  it('reads nothing that the platform does not', () => {
    const piece = fc.constantFrom(':', '::', '.', '1', 'ffff', '0', 'g', '256', '%', '1.2.3.4', '10000')
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), pieces => {
        const text = pieces.join('')
        const bare = text.replace(/%.*$/, '').replace(/^([\d.]+):\d+$/, '$1')
        if (parseAddress(text) !== undefined) expect(isIPv4(bare) || isIPv6(bare)).toBe(true)
        else expect(isIPv4(text) || (isIPv6(text) && !text.includes('%'))).toBe(false)
      }),
      { numRuns: 2000 },
    )
  })
})

describe('maskAddress', () => {
  it('keeps the first bits and no others', () => {
    fc.assert(
      fc.property(fc.ipV6(), fc.nat(128), (text, bits) => {
        const address = parseAddress(text)!
        const binary = (words: readonly number[]) =>
          words.map(word => word.toString(2).padStart(16, '0')).join('')
        expect(binary(maskAddress(address, bits))).toBe(binary(address).slice(0, bits).padEnd(128, '0'))
      }),
    )
  })
})

describe('parseNetwork', () => {
  it('contains what is in it and nothing else', () => {
    const inside = (network: string, address: string) =>
      contains(parseNetwork(network)!, parseAddress(address)!)
    expect(inside('10.0.0.0/8', '10.255.0.1')).toBe(true)
    expect(inside('10.0.0.0/8', '::ffff:10.0.0.1')).toBe(true)
    expect(inside('10.0.0.0/8', '11.0.0.1')).toBe(false)
    expect(inside('192.0.2.7', '192.0.2.7')).toBe(true)
    expect(inside('192.0.2.7', '192.0.2.6')).toBe(false)
    expect(inside('2001:db8::/33', '2001:db8:7fff::')).toBe(true)
    expect(inside('2001:db8::/33', '2001:db8:8000::')).toBe(false)
    expect(inside('::ffff:10.0.0.0/104', '10.1.1.1')).toBe(true)
  })
})
