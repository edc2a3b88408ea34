/**
 * One case in a process of its own: `case.ts NAME`. It answers once when it is warm, and then with nanoseconds a call
 * each time that it is told for how many milliseconds to measure.
 */
import { answer } from '../lib/child.ts'
import { cases } from './cases.ts'

const [name = ''] = process.argv.slice(2)
const make = cases[name]
if (make === undefined) throw new Error(`No case is called ${JSON.stringify(name)}`)
const call = await make()

const BATCH = 2_000

async function batch(): Promise<number> {
  const from = process.hrtime.bigint()
  for (let n = 0; n < BATCH; n++) await call(n)
  return Number(process.hrtime.bigint() - from) / BATCH
}

/** The best third of the batches: what disturbs the machine only ever makes a batch slower. */
async function measure(forMs: number): Promise<number> {
  const batches: number[] = []
  const until = performance.now() + forMs
  do batches.push(await batch())
  while (performance.now() < until)
  batches.sort((a, b) => a - b)
  return batches[Math.floor(batches.length / 3)]!
}

await measure(150)
process.on('message', async (forMs: number) => answer({ ns: await measure(forMs) }))
answer({})
