/** Some handlers and some parts only, for whoever works on one thing: shown, and written nowhere. */
import { progress } from '../lib/report.ts'
import type { Figure } from '../lib/stats.ts'
import { type BareRefusal, measureBareRefusals, measureIdle, measurePeak, measureRefusals } from './costs.ts'
import { measureCapacity, measureCurve } from './curves.ts'
import { type HandlerName, handlerNames, handlers } from './handlers.ts'
import { type Journey, journeysOf } from './plan.ts'
import { cell } from './results.ts'
import { allowRepeats } from './rig.ts'
import { measureCalm, measureChurn, measureCritical, measureRetries, measureTenants } from './scenarios.ts'
import type { SubjectName } from './subjects.ts'
import { subjects } from './subjects.ts'

const handlerParts = ['curve', 'calm', 'retries', 'churn', 'critical', 'tenants'] as const
type HandlerPart = (typeof handlerParts)[number]
/** What the protection costs, which has handlers of its own. */
const costParts = ['refusals', 'peak', 'idle'] as const
type CostPart = (typeof costParts)[number]
type Part = HandlerPart | CostPart
const parts: readonly Part[] = [...handlerParts, ...costParts]

export interface Choice {
  readonly handlers: readonly HandlerName[]
  readonly parts: readonly Part[]
  readonly subject: SubjectName
  /** How often all of it. */
  readonly rounds: number
  /** The loads of the curve, each for two seconds; those of the plan where there are none. */
  readonly loads: readonly number[]
}

export const choiceHelp: string = `  --handlers=mixed,post     only these (parts of the run: shown, and written nowhere)
  --parts=curve,critical    only these, of ${parts.join(', ')}
  --loads=0.9,8             the curve at these loads only, two seconds each
  --subject=none            another one than spillway
  --rounds=3                so often`

/** What the command line asks for; nothing when it is the whole run. */
export function choiceOf(args: readonly string[]): Choice | undefined {
  const given = new Map(
    args.filter(arg => /^--\w+=/.test(arg)).map(arg => arg.slice(2).split('=', 2) as [string, string]),
  )
  if (given.size === 0) return undefined
  const list = <T extends string>(name: string, all: readonly T[]): readonly T[] => {
    const names = given.get(name)?.split(',') as T[] | undefined
    for (const each of names ?? []) {
      if (!all.includes(each))
        throw new TypeError(`Expected \`--${name}\` to be some of ${all.join(', ')}, got ${each}`)
    }
    return names ?? all
  }
  return {
    handlers: list('handlers', handlerNames),
    parts: given.has('parts') ? list('parts', parts) : handlerParts,
    subject: list('subject', Object.keys(subjects) as SubjectName[]).at(-1)!,
    rounds: Number(given.get('rounds') ?? 1),
    loads: given.get('loads')?.split(',').map(Number) ?? [],
  }
}

export async function measureChoice({
  handlers: names,
  parts: wanted,
  subject,
  rounds,
  loads,
}: Choice): Promise<void> {
  const costs = costParts.filter(part => wanted.includes(part))
  for (let round = 0; round < rounds; round++) {
    for (const part of costs) progress(`${part.padEnd(10)}${await measuredCosts[part]()}`)
  }
  const of = handlerParts.filter(part => wanted.includes(part))
  if (of.length === 0) return
  const needed = of.includes('critical') || of.includes('tenants')
  const bare: BareRefusal | undefined = needed ? await measureBareRefusals() : undefined
  for (const name of names) {
    allowRepeats()
    const capacity = await measureCapacity(name)
    progress(
      `${handlers[name].title}: ${capacity.perSecond.toFixed(0)} a second, p99 ${ms(capacity.unloadedP99Ms)} unloaded`,
    )
    const measured: Record<HandlerPart, () => Promise<string>> = {
      async curve() {
        const journeys = loads.length === 0 ? journeysOf(name) : loads.map(load => journeyTo(load))
        const { points, stepUpS, recoveryS } = await measureCurve(subject, name, capacity, journeys)
        return `${points.map(cell).join('  ')}  up ${stepUpS} s, calm ${recoveryS} s`
      },
      async calm() {
        const calm = await measureCalm(subject, name, capacity)
        if (calm === undefined) return 'not in a quick run'
        return `0.7 with pauses: ${share(calm.refusedAt07)} refused (${ms(calm.p99MsAt07)}); 0.9: ${share(calm.refusedAt09)} (${ms(calm.p99MsAt09)})`
      },
      async retries() {
        const { recoveryS, goodAfter } = await measureRetries(subject, name, capacity)
        return `calm after ${recoveryS} s, ${share(goodAfter)} good`
      },
      async churn() {
        const { goodput, p99Ms, refused, lost } = await measureChurn(subject, name, capacity)
        return `${goodput.toFixed(2)} (${ms(p99Ms)}), ${share(refused)} refused, ${share(lost)} lost`
      },
      async critical() {
        const { critical, low, possible } = await measureCritical(name, capacity, bare!, 0.1)
        return `${share(critical)} of the critical ones good where ${share(possible)} is possible, ${share(low)} of the others`
      },
      async tenants() {
        const { others, least, flood } = await measureTenants(name, capacity, bare!)
        const mean = others.reduce((sum, each) => sum + each, 0) / others.length
        return `${share(least)} of its share for the worst off, ${share(mean)} in the mean, ${share(flood)} for the one that floods; ${others.map(each => each.toFixed(3))}`
      },
    }
    for (let round = 0; round < rounds; round++) {
      for (const part of of) progress(`  ${part.padEnd(10)}${await measured[part]()}`)
    }
  }
}

const measuredCosts: Readonly<Record<CostPart, () => Promise<string>>> = {
  async refusals() {
    const { bareMs, rateOverBare, refused } = await measureRefusals()
    return `${spread(rateOverBare)} of the bare rate (${(1_000 * bareMs).toFixed(1)} us each), ${share(refused.value)} refused`
  },
  async peak() {
    const peaks = Object.entries(await measurePeak())
    return peaks.map(([name, peak]) => `${name} ${spread(peak)}`).join(', ')
  },
  async idle() {
    const { microseconds, turns } = await measureIdle()
    return `${spread(microseconds)} us and ${turns.toFixed(2)} turns for each request`
  },
}

function spread({ value, low, high }: Figure): string {
  return `${value.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)})`
}

function journeyTo(load: number): Journey {
  return [
    { load: 0.5, seconds: 0.4 },
    { load, settle: load > 1 ? 0.8 : 0.2, seconds: 2 },
  ]
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`
}

function share(part: number): string {
  return `${(100 * part).toFixed(2)} %`
}
