import { describe, expect, it } from 'vitest'
import { defer } from '../internal/deferred.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { chain, gate, layer } from './chain.ts'
import { createContext } from './context.ts'
import type { Outcome } from './gate.ts'
import type { Handler, Protection } from './handler.ts'
import { deadlineExceeded } from './rejection.ts'
import { Scope } from './scope.ts'
import { workBehind } from './work.ts'

/** A gate that notes when it is settled, and how. */
function noting(log: string[], name: string, until: 'answer' | 'work'): Protection {
  return gate({
    kind: 'other',
    name,
    until,
    admit: () => name,
    settle: (ticket: string, outcome: Outcome, now: number) => {
      log.push(`${ticket} ${outcome} at ${now}`)
    },
  })
}

/** Narrows the deadline to `ms` from now. */
function narrowing(ms: number): Protection {
  return gate({
    kind: 'deadline',
    name: 'narrowing',
    admit: (_request, _context, now) => now + ms,
    narrow: (context, end: number) =>
      context.within(
        new Scope(context.clock, context.scope, end, () => deadlineExceeded('narrowing', true), undefined),
      ),
  })
}

const separate = layer(
  { kind: 'other', name: 'separate' },
  <Q, S>(next: Handler<Q, S>): Handler<Q, S> =>
    (request, context) =>
      next(request, context),
)

describe('a gate that waits for the work itself', () => {
  const stubborn = (clock: ReturnType<typeof manualClock>, ms: number) => async () => {
    const { promise, resolve } = defer<string>()
    clock.arm(
      { at: 0, keepAlive: false, next: undefined, previous: undefined, ring: () => resolve('late') },
      clock.now() + ms,
    )
    return promise
  }
  const shapes: Record<string, (log: string[]) => Protection> = {
    fused: log =>
      chain(noting(log, 'a', 'answer'), noting(log, 'w', 'work'), narrowing(10), noting(log, 'b', 'answer')),
    nested: log =>
      chain(
        noting(log, 'a', 'answer'),
        separate,
        noting(log, 'w', 'work'),
        separate,
        narrowing(10),
        separate,
        noting(log, 'b', 'answer'),
      ),
  }

  for (const [shape, make] of Object.entries(shapes)) {
    it(`is settled when the handler ends, not when the deadline passes (${shape})`, async () => {
      const clock = manualClock({ startMs: 0 })
      const log: string[] = []
      const call = make(log)(stubborn(clock, 50))
      const answer = call(undefined, createContext({ clock }))
      const refused = answer.catch((error: unknown) => error)
      await clock.advance(10)
      expect(await refused).toMatchObject({ reason: 'deadline-exceeded' })
      expect(log).toEqual(['b timeout at 10', 'a timeout at 10'])
      await clock.advance(40)
      expect(log).toEqual(['b timeout at 10', 'a timeout at 10', 'w timeout at 50'])
      expect(clock.armed).toBe(0)
    })

    it(`is settled with the others when the handler ends in time (${shape})`, async () => {
      const clock = manualClock({ startMs: 0 })
      const log: string[] = []
      const answer = make(log)(stubborn(clock, 5))(undefined, createContext({ clock }))
      await clock.advance(5)
      expect(await answer).toBe('late')
      expect(log).toEqual(['b success at 5', 'w success at 5', 'a success at 5'])
    })
  }

  it('is settled once when the handler cancels its own call and throws', async () => {
    const clock = manualClock({ startMs: 0 })
    const log: string[] = []
    const scope = new Scope(clock, undefined, 100, undefined, undefined)
    const context = createContext({ clock }).within(scope)
    const call = chain(noting(log, 'w', 'work'))(() => {
      scope.end('cancelled', 'gone')
      throw new Error('after that')
    })
    await expect(call(undefined, context)).rejects.toBe('gone')
    expect(log).toEqual(['w cancelled at 0'])
  })

  it('finds the work behind an early answer, and the answer itself behind any other', async () => {
    const clock = manualClock({ startMs: 0 })
    const { promise, resolve } = defer<string>()
    const answer = narrowing(10)(() => promise)(undefined, createContext({ clock }))
    expect(workBehind(answer)).toBe(answer)
    answer.catch(() => {})
    await clock.advance(10)
    expect(workBehind(answer)).toBe(promise)
    resolve('done')
  })
})
