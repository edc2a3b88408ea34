/** Whatever calls do, and whatever is done to the shedder meanwhile, the queue goes on: in virtual time, on the loop. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { runnerLoop } from '../../test/support/overload.ts'
import { criticalities } from '../core/criticality.ts'
import { eventLoop } from '../testing/event-loop.ts'
import { adaptive } from './adaptive.ts'
import { type ShedCall, type ShedTask, shedCall } from './call.ts'
import { runnerOf } from './runner.ts'
import type { Mode } from './shedder.ts'

const ways = [
  'answers',
  'waits',
  'puts off',
  'ticks',
  'throws',
  'never ends',
  'asks again',
  'is lost',
  'ends twice',
] as const

const arrival = fc.record({
  way: fc.constantFrom(...ways),
  ms: fc.constantFrom(0, 0.3, 2, 7, 30),
  criticality: fc.constantFrom(...criticalities),
  tenant: fc.constantFrom(undefined, 'a', 'b'),
  route: fc.constantFrom('/a', '/b'),
  attempt: fc.constantFrom(1, 2),
  withinMs: fc.constantFrom(Infinity, Infinity, 40, 0),
  leavesAfterMs: fc.constantFrom(Infinity, Infinity, 3, 30),
})
type Arrival = Parameters<Parameters<typeof arrival.map>[0]>[0]

type Settings = { readonly mode?: Mode; readonly [option: string]: unknown }

const event = fc.oneof(
  { weight: 8, arbitrary: fc.record({ arrive: fc.array(arrival, { minLength: 1, maxLength: 20 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      update: fc.constantFrom<Settings>(
        { mode: 'enforce' },
        { mode: 'observe' },
        { mode: 'off' },
        { minLimit: 1 },
        { minLimit: 40 },
        { maxQueued: 3 },
        { maxQueued: 4_096 },
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ limit: fc.constantFrom(1, 4) }) },
  { weight: 1, arbitrary: fc.record({ connections: fc.integer({ min: 1, max: 40 }) }) },
  { weight: 1, arbitrary: fc.record({ jump: fc.constantFrom(20, 80, 400, 600_000, -5, -400, -600_000) }) },
  { weight: 1, arbitrary: fc.constantFrom('reset' as const, 'end all' as const) },
)
const script = fc.array(fc.record({ afterMs: fc.constantFrom(0, 0, 1, 4, 20, 120), event }), {
  maxLength: 60,
  size: 'max',
})

/** 200 ms at most for a burst, and a turn of the loop with a few of the longest calls in it. */
const LONGEST_MS = 400

test('every call is told once, soon, and none is left lying while the loop has nothing to do and there is room', () => {
  fc.assert(
    fc.property(script, steps => {
      const loop = eventLoop({ startMs: 10_000_000 })
      const shedder = adaptive({ minLimit: 1 })
      // As in Node, where somebody may listen to uncaught exceptions, and the next callback runs all the same.
      const safely = (callback: () => void) => (): void => {
        try {
          callback()
        } catch (error) {
          if ((error as Error).message !== 'thrown') throw error
        }
      }
      const { setImmediate } = loop
      loop.setImmediate = callback => setImmediate.call(loop, safely(callback))
      const runner = runnerOf(shedder, runnerLoop(loop))
      const { knee } = shedder as unknown as { knee: { limit: number } }

      const submitted: ShedCall[] = []
      const arrived = new Map<ShedCall, number>()
      const steady = steps.every(
        ({ event }) => typeof event === 'string' || !('jump' in event || 'update' in event),
      )
      const told = new Map<ShedCall, string>()
      const open = new Set<ShedCall>()
      // Not by throwing: whatever goes wrong in the queue lets calls through.
      const faults: string[] = []
      const tell = (call: ShedCall, what: string): void => {
        if (told.has(call)) faults.push(`told ${told.get(call)}, then ${what}`)
        if (what !== 'run' && shedder.mode !== 'enforce') faults.push(`${what} while ${shedder.mode}`)
        told.set(call, what)
        const waited = loop.now() - arrived.get(call)!
        if (steady && waited > LONGEST_MS) faults.push(`${what} after ${waited} ms`)
      }
      const end = (call: ShedCall, how: 'success' | 'ignore' | 'dropped'): void => {
        open.delete(call)
        call[how](loop.now())
      }
      const submit = (asked: Arrival, depth = 0): void => {
        const at = loop.now()
        let gone = false
        const task: ShedTask = {
          run: call => {
            tell(call, 'run')
            open.add(call)
            loop.burn(asked.way === 'waits' ? 0 : asked.ms)
            const { way, ms } = asked
            if (way === 'answers') end(call, 'success')
            else if (way === 'is lost') end(call, 'dropped')
            else if (way === 'waits') loop.setTimeout(() => end(call, 'success'), ms)
            else if (way === 'puts off') loop.setImmediate(() => end(call, 'success'))
            else if (way === 'ticks') loop.nextTick(() => end(call, 'success'))
            else if (way === 'ends twice') {
              end(call, 'success')
              end(call, 'dropped')
            } else if (way === 'asks again') {
              if (depth < 3) submit(asked, depth + 1)
              end(call, 'success')
            } else if (way === 'throws') {
              end(call, 'ignore')
              throw new Error('thrown')
            }
          },
          refuse: (call, refusal) => tell(call, refusal),
          get gone() {
            return gone
          },
        }
        if (asked.leavesAfterMs !== Infinity) loop.setTimeout(() => (gone = true), asked.leavesAfterMs)
        const { criticality, tenant, route, attempt, withinMs } = asked
        const call = shedCall({ criticality, tenant, route, attempt, deadline: at + withinMs }, task)
        submitted.push(call)
        arrived.set(call, at)
        safely(() => runner.submit(call))()
      }
      const check = (): void => {
        const { inFlight, queued } = shedder.snapshot()
        let counted = 0
        for (const call of open) if (call.counts) counted++
        expect(inFlight).toBe(counted)
        // Of a call that has left the queue it may take an immediate until it is told.
        expect(queued).toBeLessThanOrEqual(submitted.length - told.size)
      }

      const at = loop.now()
      const play = (i: number): void => {
        const step = steps[i]
        if (step === undefined) return
        const { event } = step
        if (event === 'reset') shedder.reset()
        else if (event === 'end all') for (const call of open) end(call, 'success')
        else if ('arrive' in event) for (const asked of event.arrive) submit(asked)
        else if ('update' in event) shedder.update(event.update)
        else if ('limit' in event) knee.limit = event.limit
        else if ('connections' in event) for (let n = 0; n < event.connections; n++) runner.connected()
        else loop.burn(event.jump)
        check()
        loop.readable(loop.now() + (steps[i + 1]?.afterMs ?? 0), () => play(i + 1))
      }
      loop.readable(at, () => play(0))
      // Asked when no immediate is left: whoever waits then, waits for room, and an alarm sees to it.
      loop.feed({
        nextAt() {
          const { armed } = runner as unknown as { armed: boolean }
          if (shedder.queued > 0) expect(armed).toBe(true)
          return Infinity
        },
        send() {},
      })
      for (let i = 0; i < 20; i++) {
        loop.run(loop.now() + 1_000)
        for (const call of open) end(call, 'success')
      }
      expect(faults).toEqual([])
      expect(told.size).toBe(submitted.length)
      expect(open.size).toBe(0)
      expect(shedder.snapshot()).toMatchObject({ inFlight: 0, queued: 0, queuedWorkMs: 0 })
      // And a call that comes now begins where it comes.
      shedder.update({ mode: 'enforce' })
      let begun = false
      const task: ShedTask = {
        run: call => {
          begun = true
          call.success(loop.now())
        },
        refuse() {},
        gone: false,
      }
      loop.setTimeout(() => {
        runner.submit(shedCall({}, task))
        expect(begun).toBe(true)
      }, 2_000)
      loop.run(loop.now() + 3_000)
      expect(begun).toBe(true)
    }),
    { numRuns: 200 },
  )
})
