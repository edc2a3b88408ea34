import fc from 'fast-check'
import { expect, test } from 'vitest'
import { retryBudget } from './budget.ts'

const shape = fc.record({
  ratio: fc.constantFrom(0, 0.1, 0.25, 1, 2),
  minPerSecond: fc.constantFrom(0, 1, 10),
  ttlMs: fc.constantFrom(1_000, 10_000),
})
const step = fc.record({
  wait: fc.oneof(fc.constant(0), fc.nat({ max: 400 }), fc.constantFrom(1_000, 10_000, 3_600_000)),
  calls: fc.oneof(fc.constant(0), fc.nat({ max: 30 })),
  retries: fc.oneof(fc.constant(0), fc.nat({ max: 15 })),
})
const steps = fc.array(step, { maxLength: 80, size: 'max' })

type Shape = typeof shape extends fc.Arbitrary<infer T> ? T : never

interface Credit {
  readonly epoch: number
  amount: number
}

/** Credits one by one, spent from the oldest, beside a bucket that is refilled. */
class NaiveBudget {
  private credits: Credit[] = []
  private reserve: number
  private at: number
  private shape: Shape

  constructor(shape: Shape, now: number) {
    this.shape = shape
    this.reserve = this.cap
    this.at = now
  }

  /** Whoever withdraws next is the first to ask for the reserve, and finds it refilled by the new rate. */
  update(shape: Shape): void {
    if (shape.ttlMs !== this.shape.ttlMs) this.credits = []
    this.shape = shape
    this.reserve = Math.min(this.reserve, this.cap)
  }

  deposit(now: number, calls: number): void {
    this.credits.push({ epoch: this.epoch(now), amount: calls * this.shape.ratio })
  }

  balance(now: number): number {
    this.pass(now)
    return this.reserve + this.credits.reduce((sum, credit) => sum + credit.amount, 0)
  }

  withdraw(now: number): boolean {
    if (this.balance(now) < 1 - 1e-9) return false
    let left = 1
    for (const credit of this.credits) {
      const taken = Math.min(left, credit.amount)
      credit.amount -= taken
      left -= taken
    }
    this.reserve -= left
    return true
  }

  private pass(now: number): void {
    this.reserve = Math.min(this.cap, this.reserve + ((now - this.at) * this.shape.minPerSecond) / 1_000)
    this.at = now
    this.credits = this.credits.filter(credit => credit.epoch > this.epoch(now) - 10)
  }

  private get cap(): number {
    return (this.shape.minPerSecond * this.shape.ttlMs) / 1_000
  }

  private epoch(now: number): number {
    return Math.floor((now * 10) / this.shape.ttlMs)
  }
}

test('allows what a list of credits, spent from the oldest, allows', () => {
  fc.assert(
    fc.property(shape, steps, (shape, steps) => {
      const real = retryBudget(shape)
      const naive = new NaiveBudget(shape, 5_000)
      let now = 5_000
      for (const { wait, calls, retries } of steps) {
        now += wait
        real.deposit(now, calls)
        naive.deposit(now, calls)
        for (let i = 0; i < retries; i++) expect(real.withdraw(now)).toBe(naive.withdraw(now))
        if (retries > 0) expect(real.snapshot().balance).toBeCloseTo(naive.balance(now), 5)
      }
    }),
  )
})

test('settings that change between calls change what later calls leave, and nothing else', () => {
  const change = fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: shape })
  const changing = fc.array(fc.record({ step, change }), { maxLength: 80, size: 'max' })
  fc.assert(
    fc.property(shape, changing, (shape, steps) => {
      const real = retryBudget(shape)
      const naive = new NaiveBudget(shape, 0)
      let now = 0
      for (const { step, change } of steps) {
        now += step.wait
        real.deposit(now, step.calls)
        naive.deposit(now, step.calls)
        // Somebody looks now and then: that must change nothing.
        if (step.wait % 2 === 1) real.snapshot()
        for (let i = 0; i < step.retries; i++) expect(real.withdraw(now)).toBe(naive.withdraw(now))
        if (step.retries > 0) expect(real.snapshot().balance).toBeCloseTo(naive.balance(now), 5)
        if (change === undefined) continue
        real.update(change)
        naive.update(change)
      }
    }),
  )
})

test('in no interval are there more further attempts than the bound says', () => {
  fc.assert(
    fc.property(shape, steps, (shape, steps) => {
      const { ratio, minPerSecond, ttlMs } = shape
      const real = retryBudget(shape)
      const calls: [at: number, count: number][] = []
      const retries: [at: number, count: number][] = []
      let now = 5_000
      for (const step of steps) {
        now += step.wait
        real.deposit(now, step.calls)
        calls.push([now, step.calls])
        let allowed = 0
        for (let i = 0; i < step.retries; i++) if (real.withdraw(now)) allowed++
        retries.push([now, allowed])
      }
      const between = (list: [number, number][], from: number, to: number): number =>
        list.reduce((sum, [at, count]) => (at >= from && at <= to ? sum + count : sum), 0)
      for (const [from] of retries) {
        for (const [to] of retries) {
          if (to < from) continue
          const bound =
            ratio * between(calls, from - ttlMs, to) + (minPerSecond * (to - from + ttlMs)) / 1_000
          expect(between(retries, from, to)).toBeLessThanOrEqual(bound + 1e-6)
        }
      }
    }),
    { numRuns: 25 },
  )
})

test('the balance is never negative and never above what calls and reserve can have left', () => {
  fc.assert(
    fc.property(shape, steps, (shape, steps) => {
      const { ratio, minPerSecond, ttlMs } = shape
      const real = retryBudget(shape)
      const calls: [at: number, count: number][] = []
      let now = 5_000
      for (const step of steps) {
        now += step.wait
        real.deposit(now, step.calls)
        calls.push([now, step.calls])
        for (let i = 0; i < step.retries; i++) real.withdraw(now)
        const recent = calls.reduce((sum, [at, count]) => (at > now - ttlMs ? sum + count : sum), 0)
        const { balance } = real.snapshot()
        expect(balance).toBeGreaterThanOrEqual(0)
        expect(balance).toBeLessThanOrEqual(ratio * recent + (minPerSecond * ttlMs) / 1_000 + 1e-6)
      }
    }),
  )
})

test('what is refused changes nothing, and further attempts leave no credit', () => {
  fc.assert(
    fc.property(shape, steps, (shape, steps) => {
      const real = retryBudget(shape)
      let now = 5_000
      for (const step of steps) {
        now += step.wait
        real.deposit(now, step.calls)
        for (let i = 0; i < step.retries; i++) {
          const before = real.snapshot().balance
          const allowed = real.withdraw(now)
          const after = real.snapshot().balance
          // The reserve may have been refilled on the way; it is never more than one withdrawal that is taken.
          if (allowed) expect(after).toBeGreaterThanOrEqual(before - 1 - 1e-6)
          else expect(after).toBeGreaterThanOrEqual(before)
          if (!allowed) expect(real.withdraw(now)).toBe(false)
        }
      }
    }),
  )
})
