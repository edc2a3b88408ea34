/**
 * What retries and throttles do to a backend that is down.
 *
 * First a chain of four gRPC services in four processes, of which the last always fails and each of the others makes
 * three attempts: how many calls reach the last one for each call to the first. Then the client throttle through an
 * outage of a minute, in counted time, beside the formula that it comes from.
 */
import { dice } from '../lib/dice.ts'
import { finish, progress, quick, table } from '../lib/report.ts'
import { type Figure, figure } from '../lib/stats.ts'
import type { Manner } from './hop.ts'
import { literal, type Outcome, ours, play, type Throttling } from './outage.ts'
import { type Reached, startServices } from './services.ts'

const rounds = quick ? 3 : 5
const outages = quick ? 3 : 9
const naiveCalls = quick ? 20 : 200
const calls = quick ? 100 : 1_000
const budgetedSeconds = quick ? 3 : 10
const perSecond = 300

const manners: readonly Manner[] = ['naive', 'marked', 'budgeted']
const reached: Record<Manner, Reached[]> = { naive: [], marked: [], budgeted: [] }

const started = await Promise.all(manners.map(startServices))
for (const [i, manner] of manners.entries()) {
  const services = started[i]!
  for (let round = 1; round <= rounds; round++) {
    progress(`four services, ${manner}: round ${round} of ${rounds}`)
    const load =
      manner === 'naive'
        ? services.load(naiveCalls, { atOnce: 10 })
        : manner === 'marked'
          ? services.load(calls, { atOnce: 20 })
          : services.load(budgetedSeconds * perSecond, { perSecond })
    reached[manner].push(await load)
  }
  await services.stop()
}

const atLast = (manner: Manner): Figure => figure(reached[manner].map(counts => counts.at(-1)!))
const titles: Readonly<Record<Manner, string>> = {
  naive: 'p-retry in each service',
  marked: 'spillway, without budgets',
  budgeted: 'spillway',
}
console.log(
  'Three attempts in each service, the last one down: calls that reach each for each call to the first',
)
console.log(
  table(
    ['', 'first', 'second', 'third', 'last'],
    manners.map(manner => [
      titles[manner],
      ...[0, 1, 2, 3].map(i => figure(reached[manner].map(counts => counts[i]!)).value),
    ]),
  ),
)
console.log()

const outage = { perSecond: 1_000, goodS: 30, outageS: 60, afterS: 150 }
const seeds = Array.from({ length: outages }, (_, i) => 1 + 7_919 * i)
const variants: Readonly<Record<string, (random: () => number) => Throttling>> = {
  'spillway throttle': ours,
  'the formula, window 10 s': random => literal(10_000, random),
  'the formula, window 120 s': random => literal(120_000, random),
}
const played: Record<string, Outcome[]> = {}
for (const [name, make] of Object.entries(variants)) {
  progress(`an outage of a minute: ${name}`)
  played[name] = seeds.map(seed => play(make(dice(seed)), outage))
}
console.log('60 s of outage at 1,000 calls a second')
console.log(
  table(
    ['', 'back to full after s', 'sent in the outage', 'sent in its last 10 s, a second'],
    Object.entries(played).map(([name, outcomes]) => [
      name,
      figure(outcomes.map(outcome => outcome.recoveryS)).value,
      figure(outcomes.map(outcome => outcome.sentInOutageRatio)).value,
      figure(outcomes.map(({ sent }) => sent.slice(80, 90).reduce((a, b) => a + b, 0) / 10)).value,
    ]),
  ),
)
console.log()

const throttled = played['spillway throttle']!
finish({
  bench: 'storm',
  quick,
  command: 'npm run bench:storm',
  figures: {
    naiveAttemptsPerRequest: atLast('naive'),
    attemptsPerRequest: atLast('marked'),
    loadOnDeadBackend: atLast('budgeted'),
    throttleRecoveryS: figure(throttled.map(outcome => outcome.recoveryS)),
    throttleSentInOutageRatio: figure(throttled.map(outcome => outcome.sentInOutageRatio)),
  },
  details: {
    literalRecoveryS: figure(played['the formula, window 10 s']!.map(outcome => outcome.recoveryS)).value,
    sentBySecond: throttled[0]!.sent,
    literalSentBySecond: played['the formula, window 10 s']![0]!.sent,
  },
})
