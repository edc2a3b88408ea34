import { afterEach, describe, expect, it, vi } from 'vitest'
import { manualClock } from '../testing/manual-clock.ts'
import { deadline } from '../timeout/deadline.ts'
import { chain, gate } from './chain.ts'
import { type Context, createContext, openContext } from './context.ts'
import type { Gate, Outcome } from './gate.ts'
import type { Protection } from './handler.ts'
import { Rejection } from './rejection.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

type Noted = [name: string, outcome: Outcome, error: unknown]

function noting(log: Noted[], name: string, more: Partial<Gate<unknown, string>> = {}): Protection {
  return gate({
    kind: 'other',
    name,
    admit: () => name,
    settle: (ticket, outcome, _now, error) => {
      log.push([ticket, outcome, error])
    },
    ...more,
  })
}

const hang = (): Promise<never> => new Promise(() => {})

describe('what a gate hears of a call', () => {
  const failure = new Error('failed')
  const shed = new Rejection({ reason: 'shed', policy: 'inside', retry: 'later' })
  const late = new Rejection({ reason: 'deadline-exceeded', policy: 'inside', retry: 'never' })
  const left = new Rejection({ reason: 'cancelled', policy: 'inside', retry: 'never' })

  it.each<[string, () => Promise<unknown>, Outcome, unknown]>([
    ['an answer', async () => 1, 'success', undefined],
    ['a failure', () => Promise.reject(failure), 'failure', failure],
    ['a refusal further in', () => Promise.reject(shed), 'refused', shed],
    ['a timeout further in', () => Promise.reject(late), 'timeout', late],
    ['a cancellation further in', () => Promise.reject(left), 'cancelled', left],
    ['nothing, thrown', () => Promise.reject(undefined), 'failure', undefined],
  ])('of %s', async (_, handler, outcome, error) => {
    const log: Noted[] = []
    const answer = await chain(noting(log, 'a'))(handler)().catch((thrown: unknown) => ({ thrown }))
    expect(log).toEqual([['a', outcome, error]])
    if (outcome !== 'success') expect(answer).toEqual({ thrown: error })
  })

  it('of a plain value, which a handler written without types may return', async () => {
    const log: Noted[] = []
    expect(await chain(noting(log, 'a'))((() => 'plain') as never)()).toBe('plain')
    expect(log).toEqual([['a', 'success', undefined]])
  })

  it('of a promise of another make', async () => {
    const log: Noted[] = []
    const query = (answer: 'ok' | 'bad') => ({
      // biome-ignore lint/suspicious/noThenProperty: this is what database drivers return
      then: (resolve: (value: any) => void, reject: (error: unknown) => void) => {
        if (answer === 'ok') resolve('rows')
        else reject(failure)
        // A careless one may call both.
        resolve('again')
      },
    })
    const call = chain(noting(log, 'a'))(((kind: 'ok' | 'bad') => query(kind)) as never)
    expect(await call('ok')).toBe('rows')
    await expect(call('bad')).rejects.toBe(failure)
    expect(log).toEqual([
      ['a', 'success', undefined],
      ['a', 'failure', failure],
    ])
  })
})

describe('a call whose context has ended', () => {
  it('asks no gate and calls no handler', async () => {
    const clock = manualClock()
    const { context, cancel } = openContext({ clock })
    const reason = new Error('gone')
    const admit = vi.fn(() => 'ticket')
    const handler = vi.fn(hang)
    const call = chain(gate({ kind: 'other', name: 'a', admit }))(handler)
    cancel(reason)
    await expect(call(undefined, context)).rejects.toBe(reason)
    await expect(call(undefined, createContext({ clock, timeoutMs: 0 }))).rejects.toMatchObject({
      reason: 'deadline-exceeded',
      policy: 'context',
      begun: false,
    })
    expect(admit).not.toHaveBeenCalled()
    expect(handler).not.toHaveBeenCalled()
  })

  it('begins no work when a gate leaves it no time', async () => {
    const clock = manualClock()
    const log: Noted[] = []
    const handler = vi.fn(hang)
    const none = noting(log, 'none', {
      narrow: context => openContext({ parent: context, timeoutMs: 0 }).context,
    })
    await expect(
      chain(noting(log, 'outer'), none, noting(log, 'inner'))(handler)(undefined, createContext({ clock })),
    ).rejects.toMatchObject({ reason: 'deadline-exceeded', policy: 'none', begun: false })
    expect(handler).not.toHaveBeenCalled()
    expect(log.map(([name, outcome]) => `${name} ${outcome}`)).toEqual(['none timeout', 'outer timeout'])
  })

  it('is refused though the parent was cancelled while nobody watched', async () => {
    const clock = manualClock()
    const parent = openContext({ clock })
    const context = createContext({ parent: parent.context, timeoutMs: 1_000 })
    parent.cancel('gone')
    await expect(chain(noting([], 'a'))(hang)(undefined, context)).rejects.toBe('gone')
    expect(clock.armed).toBe(0)
  })

  it('ends although a gate cancelled it while it was asked', async () => {
    const { context, cancel } = openContext({ clock: manualClock() })
    const log: Noted[] = []
    const handler = vi.fn(hang)
    const cancelling = noting(log, 'cancelling', {
      admit: () => {
        cancel('by a gate')
        return 'cancelling'
      },
    })
    const after = vi.fn(() => 'after')
    await expect(
      chain(noting(log, 'outer'), cancelling, noting(log, 'after', { admit: after }))(handler)(
        undefined,
        context,
      ),
    ).rejects.toBe('by a gate')
    expect(log).toEqual([
      ['outer', 'cancelled', 'by a gate'],
      ['cancelling', 'cancelled', 'by a gate'],
    ])
    expect(after).not.toHaveBeenCalled()
    expect(handler).not.toHaveBeenCalled()
  })
})

describe('a gate that goes wrong', () => {
  it('by throwing from narrow is settled, for it had let the call in', async () => {
    const log: Noted[] = []
    const failure = new Error('a bug in narrow')
    const throwing = noting(log, 'throwing', {
      narrow: () => {
        throw failure
      },
    })
    await expect(chain(noting(log, 'outer'), throwing)(hang)()).rejects.toBe(failure)
    expect(log).toEqual([
      ['throwing', 'failure', failure],
      ['outer', 'failure', failure],
    ])
  })

  it('by leaving the context it was given fails the call, whose deadline would be lost', async () => {
    const clock = manualClock()
    const log: Noted[] = []
    const shared = openContext({ clock })
    const lost = noting(log, 'lost', { narrow: () => shared.context })
    const context = createContext({ clock, timeoutMs: 50 })
    await expect(chain(noting(log, 'outer'), lost)(hang)(undefined, context)).rejects.toThrow(
      'Expected narrow() of lost to derive its context from the one it was given',
    )
    expect(log.map(([name, outcome]) => `${name} ${outcome}`)).toEqual(['lost failure', 'outer failure'])
    const { signal } = shared.context
    shared.cancel('still its own')
    expect(signal.aborted).toBe(true)
    expect(clock.armed).toBe(0)
  })

  it('by throwing a refusal from admit refuses, as if it had returned it', async () => {
    const log: Noted[] = []
    const shed = new Rejection({ reason: 'shed', policy: 'inside', retry: 'later' })
    const throwing = gate({
      kind: 'other',
      name: 'throwing',
      admit: () => {
        throw shed
      },
    })
    await expect(chain(noting(log, 'outer'), throwing)(hang)()).rejects.toBe(shed)
    expect(log).toEqual([['outer', 'refused', shed]])
  })

  it('by throwing from settle costs neither the others their word nor the caller its answer', async () => {
    const emitted = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const log: Noted[] = []
    const throwing = (name: string): Protection =>
      noting(log, name, {
        settle: () => {
          throw new Error('a bug in settle')
        },
      })
    const call = chain(
      noting(log, 'a'),
      throwing('t1'),
      noting(log, 'b'),
      throwing('t2'),
    )(async (ok: boolean) => {
      if (!ok) throw new Error('failed')
      return 'answer'
    })
    expect(await call(true)).toBe('answer')
    await expect(call(false)).rejects.toThrow('failed')
    expect(log.map(([name, outcome]) => `${name} ${outcome}`)).toEqual([
      'b success',
      'a success',
      'b failure',
      'a failure',
    ])
    expect(emitted.mock.calls.map(([message]) => message)).toEqual([
      't2 threw from settle(): Error: a bug in settle',
      't1 threw from settle(): Error: a bug in settle',
    ])
  })

  it('by throwing from settle leaves nothing hanging when the call timed out', async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const clock = manualClock()
    const throwing = noting([], 'throwing', {
      settle: () => {
        throw new Error('a bug in settle')
      },
    })
    const answer = chain(deadline({ totalMs: 10 }), throwing)(hang)(undefined, createContext({ clock }))
    const refused = expect(answer).rejects.toMatchObject({ reason: 'deadline-exceeded' })
    await clock.advance(10)
    await refused
    expect(clock.armed).toBe(0)
  })
})

describe('what is told when a call is cut off', () => {
  it('inside, where the time ran out, a timeout; outside, what the error says', async () => {
    const clock = manualClock()
    const log: Noted[] = []
    const reason = new Error('not a refusal')
    const source = new AbortController()
    const aborting = noting(log, 'aborting', {
      narrow: context => openContext({ parent: context, signal: source.signal }).context,
    })
    const answer = chain(noting(log, 'outer'), aborting, noting(log, 'inner'))(hang)(
      undefined,
      createContext({ clock }),
    )
    source.abort(reason)
    await expect(answer).rejects.toBe(reason)
    expect(log).toEqual([
      ['inner', 'cancelled', reason],
      ['aborting', 'cancelled', reason],
      ['outer', 'failure', reason],
    ])
  })

  it('does not come back: an answer or a failure that is late changes nothing and is not unhandled', async () => {
    const clock = manualClock()
    const log: Noted[] = []
    let finish: (how: 'resolve' | 'reject') => void = () => {}
    const handler = (): Promise<string> =>
      new Promise((resolve, reject) => {
        finish = how => (how === 'resolve' ? resolve('late') : reject(new Error('late')))
      })
    for (const how of ['resolve', 'reject'] as const) {
      const { context, cancel } = openContext({ clock })
      const answer = chain(noting(log, how))(handler)(undefined, context)
      cancel('gone')
      finish(how)
      await expect(answer).rejects.toBe('gone')
    }
    await clock.flush()
    expect(log.map(([name, outcome]) => `${name} ${outcome}`)).toEqual([
      'resolve cancelled',
      'reject cancelled',
    ])
  })

  it('may set off new calls and end others from its abort listener', async () => {
    const clock = manualClock()
    const log: Noted[] = []
    const call = chain(noting(log, 'a'))(hang)
    const first = openContext({ clock })
    const second = openContext({ clock })
    const answers: Promise<unknown>[] = []
    first.context.signal.addEventListener('abort', () => {
      second.cancel('pulled along')
      answers.push(call(undefined, first.context), call(undefined, second.context))
    })
    answers.push(call(undefined, first.context), call(undefined, second.context))
    first.cancel('gone')
    const reasons = (await Promise.allSettled(answers)).map(one => (one as PromiseRejectedResult).reason)
    expect(reasons).toEqual(['gone', 'pulled along', 'gone', 'pulled along'])
    expect(log).toHaveLength(2)
  })
})

describe('the context of a call', () => {
  const bounded = chain(deadline({ totalMs: 10 }))

  it('is let go of at its end, though the handler read its signal and nobody closes it', async () => {
    const clock = manualClock()
    const parent = openContext({ clock })
    const { signal } = new AbortController()
    const seen: AbortSignal[] = []
    const call = chain(noting([], 'a'))(async (_request: unknown, context: Context) => {
      seen.push(context.signal)
    })
    await call(undefined, createContext({ parent: parent.context, signal, timeoutMs: 1_000 }))
    expect(clock.armed).toBe(0)
    parent.cancel('long after')
    expect(seen[0]?.aborted).toBe(false)
  })

  it('stays bounded for what a handler leaves behind, until its own deadline', async () => {
    const clock = manualClock()
    let kept: Context | undefined
    await bounded(async (_request: unknown, context: Context) => {
      kept = context
    })(undefined, createContext({ clock }))
    expect(kept?.ended).toBe(false)
    expect(clock.armed).toBe(0)
    const late = chain(noting([], 'late'))(hang)(undefined, kept)
    const refused = expect(late).rejects.toMatchObject({ reason: 'deadline-exceeded' })
    await clock.advance(10)
    await refused
    expect(kept?.ended).toBe(true)
    await expect(chain(noting([], 'later'))(hang)(undefined, kept)).rejects.toBeDefined()
    expect(clock.armed).toBe(0)
  })
})
