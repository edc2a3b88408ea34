import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KeyHash } from './key-hash.ts'
import { SlotTable } from './slot-table.ts'

/** A key's row, its own or a new one; the time until which it is busy is written into it. */
function use(table: SlotTable, key: string, until: number, now: number): number {
  const print = table.hash.of(key)
  const found = table.find(print)
  const at = found < 0 ? table.claim(print, now) : found
  if (at >= 0) table.cells[at] = until
  return at
}

describe('SlotTable', () => {
  it('keeps the state of every busy key, whatever else comes, and finds it again', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.array(fc.record({ key: fc.nat(60), hold: fc.nat(20), dt: fc.nat(3) }), {
          maxLength: 200,
          size: 'max',
        }),
        fc.nat(1000),
        (maxKeys, steps, seed) => {
          const table = new SlotTable(maxKeys, 2, new KeyHash([seed, 7]))
          const held = new Map<string, { until: number; value: number }>()
          let now = 1
          let value = 0
          for (const { key: number, hold, dt } of steps) {
            now += dt
            const key = `k${number}`
            const at = use(table, key, now + hold, now)
            if (at < 0) continue
            table.cells[at + 1] = ++value
            held.set(key, { until: now + hold, value })
            for (const [other, { until, value }] of held) {
              if (until <= now) continue
              const row = table.find(table.hash.of(other))
              expect(row).toBeGreaterThan(0)
              expect(table.cells[row]).toBe(until)
              expect(table.cells[row + 1]).toBe(value)
            }
          }
        },
      ),
    )
  })

  it('has a row for each of as many keys as it was made for', () => {
    for (const maxKeys of [1, 10, 1000, 100_000]) {
      const table = new SlotTable(maxKeys, 1, new KeyHash([3, 4]))
      for (let i = 0; i < maxKeys; i++) expect(use(table, `key ${i}`, 2, 1)).toBeGreaterThan(0)
      expect(table.full).toBe(0)
    }
  })

  it('finds who was sent on to his other window, and tells at once where nobody was', () => {
    const table = new SlotTable(100, 1, new KeyHash([8, 9]))
    const keys = Array.from({ length: 120 }, (_, i) => `key ${i}`)
    const kept = keys.filter(key => use(table, key, 10, 1) >= 0)
    for (const key of kept) expect(table.cells[table.find(table.hash.of(key))]).toBe(10)
    // All are idle: rows go to other keys, and none of those is lost.
    const others = keys.map(key => `other ${key}`).filter(key => use(table, key, 30, 20) >= 0)
    expect(table.reused).toBeGreaterThan(0)
    for (const key of others) expect(table.cells[table.find(table.hash.of(key))]).toBe(30)
  })

  it('takes no more than 40 bytes a key', () => {
    expect(new SlotTable(1_000_000, 1).cells.byteLength / 1_000_000).toBeLessThanOrEqual(40)
    expect(new SlotTable(1_000_000, 2).cells.byteLength / 1_000_000).toBeLessThanOrEqual(40)
  })

  it('says so when everything within reach is busy, and gives nobody else’s row away', () => {
    const table = new SlotTable(10, 1)
    const kept: string[] = []
    for (let i = 0; i < 1000; i++) if (use(table, `key ${i}`, Infinity, 1) >= 0) kept.push(`key ${i}`)
    expect(table.full).toBe(1000 - kept.length)
    expect(kept.length).toBeGreaterThanOrEqual(10)
    for (const key of kept) expect(table.find(table.hash.of(key))).toBeGreaterThan(0)
    const shared = table.shared(table.hash.of('key 999'))
    for (const key of kept) expect(table.find(table.hash.of(key))).not.toBe(shared)
  })

  it('takes over the row that would be idle first', () => {
    const table = new SlotTable(1, 1, new KeyHash([5, 6]))
    let until = 1000
    while (use(table, `key ${until}`, until, 1) >= 0) until++
    const print = table.hash.of('newcomer')
    const at = table.takeOver(print)
    expect(table.cells[at]).toBeLessThan(until)
    expect(table.find(print)).toBe(at)
  })

  it('visits each row that has been used once, and the shared ones', () => {
    const table = new SlotTable(100, 3)
    for (let i = 0; i < 50; i++) use(table, `key ${i}`, 2, 1)
    const seen = new Set<number>()
    table.forEach(at => {
      expect(seen.has(at)).toBe(false)
      seen.add(at)
    })
    for (let i = 0; i < 50; i++) expect(seen.has(table.find(table.hash.of(`key ${i}`)))).toBe(true)
    expect(seen.has(table.shared(table.hash.of('anybody')))).toBe(true)
    table.clear()
    expect(table.find(table.hash.of('key 1'))).toBe(-1)
    expect(table.used).toBe(0)
  })
})
