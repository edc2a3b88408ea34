import { type Child, start } from '../lib/child.ts'
import { progress } from '../lib/report.ts'
import { type Figure, figure, ratio } from '../lib/stats.ts'

export interface Comparison {
  readonly bare: Figure
  readonly ours: Figure
  /** Ours over bare, within each round. */
  readonly ratio: Figure
}

export interface ComparisonOptions {
  readonly rounds: number
  readonly blockMs: number
}

/** One side of a comparison while it runs: everything that takes part answers `block` with what it used. */
export interface Side {
  /** Requests answered for each second of processor time, over a block of load. */
  measure(blockMs: number): Promise<number>
  stop(): Promise<void>
}

/** Alternates blocks of load between the two sides, and which of them goes first. */
export async function compare(
  title: string,
  sides: { readonly bare: Side; readonly ours: Side },
  options: ComparisonOptions,
): Promise<Comparison> {
  const rates = { bare: [] as number[], ours: [] as number[] }
  // Both sides are warm before anything counts.
  await sides.bare.measure(options.blockMs)
  await sides.ours.measure(options.blockMs)
  for (let round = 1; round <= options.rounds; round++) {
    progress(`${title}: round ${round} of ${options.rounds}`)
    for (const side of round % 2 === 0 ? (['ours', 'bare'] as const) : (['bare', 'ours'] as const)) {
      rates[side].push(await sides[side].measure(options.blockMs))
    }
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

/** Processor time of this process from now on, in milliseconds. */
export function meterCpu(): () => number {
  const from = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(from)
    return (user + system) / 1_000
  }
}
