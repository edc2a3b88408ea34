import { answer, type Child, start } from '../lib/child.ts'
import { progress } from '../lib/report.ts'
import { type Figure, figure, ratio } from '../lib/stats.ts'

export interface Comparison {
  readonly bare: Figure
  readonly ours: Figure
  /** Ours over bare, within each round. */
  readonly ratio: Figure
}

export interface ComparisonOptions {
  /** How long each side runs before anything counts. */
  readonly warmMs: number
  readonly rounds: number
  readonly blockMs: number
}

/** One side of a comparison while it runs: everything that takes part answers `block` with what it used. */
export interface Side {
  /** Requests answered for each second of processor time, over a block of load. */
  measure(blockMs: number): Promise<number>
  stop(): Promise<void>
}

/**
 * Measures both sides round by round. A round is four short blocks of load, of which the outer two belong to one
 * side and the inner two to the other, in turns: whatever slows the machine down steadily slows both sides alike.
 */
export async function compare(
  title: string,
  sides: { readonly bare: Side; readonly ours: Side },
  { warmMs, rounds, blockMs }: ComparisonOptions,
): Promise<Comparison> {
  const rates = { bare: [] as number[], ours: [] as number[] }
  await sides.bare.measure(warmMs)
  await sides.ours.measure(warmMs)
  for (let round = 1; round <= rounds; round++) {
    progress(`${title}: round ${round} of ${rounds}`)
    const outer = round % 2 === 0 ? 'ours' : 'bare'
    const inner = round % 2 === 0 ? 'bare' : 'ours'
    const first = await sides[outer].measure(blockMs)
    rates[inner].push(((await sides[inner].measure(blockMs)) + (await sides[inner].measure(blockMs))) / 2)
    rates[outer].push((first + (await sides[outer].measure(blockMs))) / 2)
  }
  await Promise.all([sides.bare.stop(), sides.ours.stop()])
  return { bare: figure(rates.bare), ours: figure(rates.ours), ratio: ratio(rates.ours, rates.bare) }
}

/** What a process under load says of a block of it. */
export interface Usage {
  readonly requests: number
  readonly cpuMs: number
}

/** Starts a server of the bench; it answers first with its port. */
export async function startServer(file: URL, subject: string): Promise<{ child: Child; port: number }> {
  const child = start(file, [subject])
  const { port } = await child.next<{ port: number }>()
  return { child, port }
}

/** Tells a process that a block begins, or asks it what the block took. */
export function ask<T>(child: Child, message: 'from' | 'to'): Promise<T> {
  const reply = child.next<T>()
  child.send(message)
  return reply
}

/** The other end of `ask`: counts requests and the processor time of this process. */
export function answerBlocks(counter: { from(): void; requests(): number }): void {
  let from = process.cpuUsage()
  process.on('message', (message: 'from' | 'to') => {
    if (message === 'from') {
      from = process.cpuUsage()
      counter.from()
      return answer({})
    }
    const requests = counter.requests()
    const { user, system } = process.cpuUsage(from)
    answer({ requests, cpuMs: (user + system) / 1_000 } satisfies Usage)
  })
}
