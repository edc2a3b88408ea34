import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

interface Result {
  readonly bench: string
  readonly quick: boolean
  readonly node: string
  readonly date: string
  readonly machine: string
  readonly command: string
  readonly figures: Readonly<Record<string, number>>
}

const folder = new URL('../bench/results/', import.meta.url)
const results: readonly Result[] = readdirSync(folder)
  .filter(file => file.endsWith('.json'))
  .map(file => JSON.parse(readFileSync(new URL(file, folder), 'utf8')))
const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')

/** The figures that the README gives: `bench.figure` in one cell, the value in the next. */
const given = [...readme.matchAll(/\| `(\w+)\.(\w+)` \| ([\d.,]+)/g)].map(([, bench, figure, value]) => ({
  bench,
  figure: figure!,
  value: value!.replaceAll(',', ''),
}))

test('the README gives figures, and each is what the committed run measured', () => {
  expect(given.length).toBeGreaterThan(9)
  for (const { bench, figure, value } of given) {
    const measured = results.find(result => result.bench === bench)?.figures[figure]
    const decimals = value.split('.')[1]?.length ?? 0
    expect([bench, figure, measured?.toFixed(decimals)]).toEqual([bench, figure, value])
  }
})

test('the runs behind them are full ones, of the day, machine and Node that the README names', () => {
  for (const bench of new Set(given.map(({ bench }) => bench))) {
    const { quick, date, machine, node, command } = results.find(result => result.bench === bench)!
    expect(quick).toBe(false)
    for (const fact of [date, machine, node, command]) expect(readme).toContain(fact)
  }
})
