import { describe, expect, it } from 'vitest'
import { type ManualClock, manualClock } from '../testing/manual-clock.ts'
import { deadline } from '../timeout/deadline.ts'
import { chain, gate } from './chain.ts'
import type { Clock } from './clock.ts'
import { type Context, createContext, openContext } from './context.ts'
import type { Handler } from './handler.ts'

const hanging: Handler<unknown, unknown> = () => new Promise(() => {})

/** Makes a call under a deadline of 100 ms; gives the context that its handler got. */
function begin(
  clock: Clock,
  handler: Handler<unknown, unknown> = hanging,
): { context: Context; answer: Promise<unknown> } {
  let context!: Context
  const call = deadline({ totalMs: 100 })((request: unknown, given: Context) => {
    context = given
    return handler(request, given)
  })
  return { answer: call(undefined, createContext({ clock })), context }
}

describe('the scope of a deadline', () => {
  it('is one and the same, whoever asks, and ends with the error that the call fails with', async () => {
    const clock = manualClock()
    const { context, answer } = begin(clock)
    const { scope, signal } = context
    expect(context.scope).toBe(scope)
    expect(context.with({ attempt: 2 }).scope).toBe(scope)
    const failure = answer.catch((error: unknown) => error)
    await clock.advance(100)
    expect([scope.ending, signal.aborted]).toEqual(['timeout', true])
    expect(signal.reason).toBe(await failure)
    expect(clock.armed).toBe(0)
  })

  it('has ended with the call when it is asked for only after the deadline', async () => {
    const clock = manualClock()
    const { context, answer } = begin(clock)
    const failure = answer.catch((error: unknown) => error)
    await clock.advance(100)
    expect(context.ended).toBe(true)
    expect([context.scope.ending, context.scope.reason]).toEqual(['timeout', await failure])
    expect([context.signal.aborted, context.signal.reason]).toEqual([true, await failure])
  })

  it('was closed with the call when it is asked for after that: its signal aborts no more', async () => {
    const clock = manualClock()
    const { context, answer } = begin(clock, async () => 'done')
    expect(await answer).toBe('done')
    expect(clock.armed).toBe(0)
    const { signal, scope } = context
    expect([signal.aborted, scope.ending, scope.busy]).toEqual([false, undefined, false])
    await clock.advance(200)
    expect(signal.aborted).toBe(false)
    // To whoever asks for it late it says what the clock says.
    expect(context.ended).toBe(true)
  })

  it('knows of a cancellation further out that came before anybody asked', async () => {
    const clock = manualClock()
    const opened = openContext({ clock })
    let context!: Context
    const call = deadline({ totalMs: 100 })((_: unknown, given: Context) => {
      context = given
      return hanging(undefined, given)
    })
    const answer = call(undefined, opened.context).catch((error: unknown) => error)
    opened.cancel('gone')
    expect([context.ended, context.scope.ending, context.signal.reason]).toEqual([true, 'cancelled', 'gone'])
    expect(await answer).toBe('gone')
    expect(clock.armed).toBe(0)
  })

  it('is made at once for a while after somebody has asked for it', async () => {
    const armed: unknown[] = []
    const clock = manualClock()
    const noting: Clock = { ...clock, now: clock.now, arm: (alarm, at) => clock.arm(note(alarm), at) }
    const note = <T>(alarm: T): T => {
      armed.push(alarm)
      return alarm
    }
    let looks = true
    const call = deadline({ totalMs: 100 })(async (_: unknown, context: Context) => {
      if (looks) void context.scope
      return context
    })
    const scopes: boolean[] = []
    for (let n = 0; n < 40; n++) {
      looks = n === 3
      armed.length = 0
      const context = await call(undefined, createContext({ clock: noting }))
      scopes.push(armed.includes(context.scope))
    }
    const made = scopes.flatMap((atOnce, n) => (atOnce ? [n] : []))
    expect(made).toEqual(Array.from({ length: 16 }, (_, i) => i + 4))
  })

  it.each([
    ['a clock that can swap alarms', (clock: ManualClock): Clock => clock],
    ['a clock that cannot', ({ now, arm, disarm }: ManualClock): Clock => ({ now, arm, disarm })],
  ])('rings for a call in time, looked at or not, by %s', async (_, of) => {
    for (const looks of [false, true]) {
      const clock = manualClock()
      const { context, answer } = begin(of(clock))
      let failed = false
      answer.catch(() => {
        failed = true
      })
      if (looks) void context.scope
      expect(clock.armed).toBe(1)
      await clock.advance(99)
      expect(failed).toBe(false)
      await clock.advance(1)
      expect(failed).toBe(true)
      expect(clock.armed).toBe(0)
    }
  })

  it('is not made for gates that read no more of the context than its values and its deadline', async () => {
    const clock = manualClock()
    const armed: unknown[] = []
    const noting: Clock = {
      now: clock.now,
      disarm: clock.disarm,
      arm: (alarm, at) => {
        armed.push(alarm)
        clock.arm(alarm, at)
      },
    }
    let context!: Context
    const reading = gate({
      kind: 'other',
      name: 'reading',
      admit: (_, given: Context) => {
        context = given
        return [given.deadline, given.remainingMs, given.ended, given.clock, given.criticality]
      },
    })
    const call = chain(deadline({ totalMs: 100 }), reading)(async () => 'done')
    expect(await call(undefined, createContext({ clock: noting }))).toBe('done')
    expect(armed).toHaveLength(1)
    expect(armed).not.toContain(context.scope)
  })
})
