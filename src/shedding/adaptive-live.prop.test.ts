/** Modes and settings switched in the middle, clocks that jump, deadlines that are over, calls that are given up. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Criticality, criticalities } from '../core/criticality.ts'
import { adaptive } from './adaptive.ts'
import { type ShedCall, type ShedTask, shedCall } from './call.ts'
import type { Mode } from './shedder.ts'

const HOUR = 3_600_000

type Step =
  | {
      readonly offer: {
        readonly criticality: Criticality
        readonly tenant?: string
        readonly attempt: number
      }
      readonly within: number
      readonly busyMs: number
    }
  | { readonly batch: number; readonly ms: number }
  | { readonly finish: number; readonly how: 'success' | 'ignore' | 'dropped' }
  | { readonly jump: number }
  | { readonly update: { readonly mode?: Mode; readonly [option: string]: unknown } }
  | { readonly leave: number }
  | 'stall'
  | 'reset'

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      offer: fc.record({
        criticality: fc.constantFrom(...criticalities),
        tenant: fc.constantFrom('a', 'b', 'c'),
        attempt: fc.constantFrom(1, 2),
      }),
      within: fc.constantFrom(Infinity, 50, 5, 0, -10),
      busyMs: fc.constantFrom(0, 10),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ batch: fc.integer({ min: 1, max: 20 }), ms: fc.constantFrom(0.1, 2, 15) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      finish: fc.nat(),
      how: fc.constantFrom('success' as const, 'ignore' as const, 'dropped' as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ jump: fc.constantFrom(1, 20, 300, -5, -100, HOUR / 6, -HOUR / 6, 720 * HOUR) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      update: fc.constantFrom<{ readonly mode?: Mode; readonly [option: string]: unknown }>(
        { mode: 'enforce' },
        { mode: 'observe' },
        { mode: 'off' },
        { maxQueued: 3 },
        { maxQueued: 4_096 },
        { minLimit: 1 },
        { minLimit: 10 },
        { burstWaitMs: 20 },
        { burstWaitMs: 300, mode: 'enforce' },
        { floorRatio: 0.25 },
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ leave: fc.nat() }) },
  { weight: 1, arbitrary: fc.constantFrom('stall' as const, 'reset' as const) },
)

test('whatever is switched and whatever the clock does, every call is told once, nothing is lost, and calm is calm again', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: 'max' }), steps => {
      const shedder = adaptive({ minLimit: 2 })
      let now = 1_000 * HOUR
      const fate = new Map<ShedCall, string>()
      const open: ShedCall[] = []
      const calls: ShedCall[] = []
      const gone = new Set<ShedTask>()
      const note = (call: ShedCall, what: string): void => {
        expect(fate.get(call)).toBeUndefined()
        fate.set(call, what)
      }
      const begin = (call: ShedCall): void => {
        note(call, 'run')
        open.push(call)
      }
      const offer = (options: Parameters<typeof shedCall>[0], busyMs: number): void => {
        const task: ShedTask = {
          run: begin,
          refuse: note,
          get gone() {
            return gone.has(this)
          },
        }
        const call = shedCall(options, task)
        calls.push(call)
        const verdict = shedder.offer(call, now, busyMs)
        if (verdict === 'run') begin(call)
        else if (verdict !== 'queued') {
          expect(shedder.mode).toBe('enforce')
          note(call, verdict)
        }
      }
      const batch = (n: number, ms: number): void => {
        shedder.tend(now)
        for (let i = 0; i < n; i++) {
          const call = shedder.next(now)
          if (call === undefined) return
          expect(call.deadline).toBeGreaterThan(now)
          expect(call.task.gone).toBe(false)
          begin(call)
          now += ms
          shedder.learnCost(call, ms)
        }
      }
      const endAll = (): void => {
        for (const call of open.splice(0)) call.success(now)
      }

      for (const step of steps) {
        if (step === 'stall') shedder.stalled(now)
        else if (step === 'reset') shedder.reset()
        else if ('offer' in step) offer({ ...step.offer, deadline: now + step.within }, step.busyMs)
        else if ('batch' in step) batch(step.batch, step.ms)
        else if ('jump' in step) now += step.jump
        else if ('update' in step) shedder.update(step.update)
        else if ('leave' in step) {
          if (calls.length > 0) gone.add(calls[step.leave % calls.length]!.task)
        } else if (open.length > 0) {
          const [call] = open.splice(step.finish % open.length, 1)
          call![step.how](now)
          call!.success(now)
        }
        const { inFlight, queued, queuedWorkMs, limit } = shedder.snapshot()
        expect(inFlight).toBe(open.filter(call => call.counts).length)
        expect(queued).toBe(calls.length - fate.size)
        expect(queuedWorkMs).toBeGreaterThanOrEqual(0)
        expect(limit).toBeGreaterThanOrEqual(1)
        const pressure = shedder.pressure(now)
        expect(pressure).toBeGreaterThanOrEqual(0)
        expect(pressure).toBeLessThanOrEqual(1)
      }

      // Given time and room whatever waits begins or is refused.
      for (let i = 0; shedder.queued > 0; i++) {
        expect(i).toBeLessThan(1_000)
        endAll()
        now += 10
        batch(50, 0.1)
      }
      endAll()
      expect(fate.size).toBe(calls.length)
      expect(shedder.snapshot()).toMatchObject({ inFlight: 0, queued: 0, queuedWorkMs: 0 })

      // And a load that can be served is served, every call of it, a second later.
      shedder.update({ mode: 'enforce', maxQueued: 4_096, burstWaitMs: 100 })
      now += 1_000
      const { refused } = shedder.snapshot()
      for (let i = 0; i < 100; i++) {
        now += 10
        offer({}, i % 3 === 0 ? 10 : 0)
        batch(50, 1)
        endAll()
      }
      expect(shedder.snapshot().refused).toEqual(refused)
      expect(shedder.isOverloaded(now)).toBe(false)
    }),
    { numRuns: 250 },
  )
})
