import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RollingWindow } from './rolling-window.ts'

const kinds = 3

interface Counted {
  readonly epoch: number
  readonly kind: number
  readonly amount: number
}

/** The same by keeping every event that ever was. */
class NaiveWindow {
  private events: Counted[] = []
  private readonly bucketMs: number
  private readonly buckets: number

  constructor(bucketMs: number, buckets: number) {
    this.bucketMs = bucketMs
    this.buckets = buckets
  }

  add(now: number, kind: number, amount: number): void {
    this.events.push({ epoch: Math.floor(now / this.bucketMs), kind, amount })
  }

  sums(now: number): number[] {
    const oldest = Math.floor(now / this.bucketMs) - this.buckets
    const kept = this.events.filter(event => event.epoch > oldest)
    return Array.from({ length: kinds }, (_, kind) =>
      kept.filter(event => event.kind === kind).reduce((sum, event) => sum + event.amount, 0),
    )
  }
}

const step = fc.record({
  wait: fc.oneof(fc.integer({ min: 0, max: 300 }), fc.constantFrom(0, 100, 1_000, 3_600_000)),
  kind: fc.nat({ max: kinds - 1 }),
  amount: fc.integer({ min: 1, max: 5 }),
  /** How long ago the event is said to have been; 0 for now. */
  back: fc.oneof(fc.constant(0), fc.nat({ max: 1_500 })),
})
const steps = fc.array(step, { maxLength: 60, size: 'max' })
const shape = fc.record({
  bucketMs: fc.constantFrom(1, 25, 100, 333),
  buckets: fc.integer({ min: 1, max: 12 }),
})

test('equals a list of every event that is thrown out by age', () => {
  fc.assert(
    fc.property(shape, steps, ({ bucketMs, buckets }, steps) => {
      const window = new RollingWindow(bucketMs, buckets, kinds)
      const naive = new NaiveWindow(bucketMs, buckets)
      let now = 10_000
      for (const { wait, kind, amount, back } of steps) {
        now += wait
        window.advance(now)
        if (back === 0) window.add(kind, amount)
        else window.addAt(Math.floor((now - back) / bucketMs), kind, amount)
        naive.add(now - back, kind, amount)
        expect([...window.sums]).toEqual(naive.sums(now))
      }
    }),
  )
})

test('holds nothing older than the window, whatever was in it and however long it was left alone', () => {
  fc.assert(
    fc.property(shape, steps, fc.nat({ max: 10_000_000 }), ({ bucketMs, buckets }, steps, idle) => {
      const window = new RollingWindow(bucketMs, buckets, kinds)
      let now = 0
      for (const { wait, kind, amount } of steps) {
        now += wait
        window.advance(now)
        window.add(kind, amount)
      }
      window.advance(now + bucketMs * buckets + idle)
      expect([...window.sums]).toEqual([0, 0, 0])
    }),
  )
})

test('what is saved and loaded at any other time goes on as the original does', () => {
  fc.assert(
    fc.property(
      shape,
      steps,
      steps,
      fc.nat({ max: 1_000_000 }),
      ({ bucketMs, buckets }, before, after, gap) => {
        const original = new RollingWindow(bucketMs, buckets, kinds)
        let now = 10_000
        for (const { wait, kind, amount } of before) {
          now += wait
          original.advance(now)
          original.add(kind, amount)
        }
        const copy = new RollingWindow(bucketMs, buckets, kinds)
        const saved = JSON.parse(JSON.stringify(original.save(now)))
        copy.load(saved, now + gap)
        for (const { wait, kind, amount } of after) {
          now += wait
          for (const [window, at] of [
            [original, now],
            [copy, now + gap],
          ] as const) {
            window.advance(at)
            window.add(kind, amount)
          }
          expect([...copy.sums]).toEqual([...original.sums])
        }
      },
    ),
  )
})

test('a copy with other buckets never holds what the window no longer would', () => {
  fc.assert(
    fc.property(shape, shape, steps, (from, to, steps) => {
      const original = new RollingWindow(from.bucketMs, from.buckets, kinds)
      let now = 0
      for (const { wait, kind, amount } of steps) {
        now += wait
        original.advance(now)
        original.add(kind, amount)
      }
      const copy = new RollingWindow(to.bucketMs, to.buckets, kinds)
      copy.load(original.save(now), now)
      for (let kind = 0; kind < kinds; kind++) {
        expect(copy.sums[kind]).toBeLessThanOrEqual(original.sums[kind]!)
      }
      copy.advance(now + to.bucketMs * to.buckets)
      expect([...copy.sums]).toEqual([0, 0, 0])
    }),
  )
})
