import { afterEach, describe, expect, it, vi } from 'vitest'
import { collectAnswerFields } from '../core/answer-fields.ts'
import { chain, describe as partsOf } from '../core/chain.ts'
import { type Context, createContext, openContext } from '../core/context.ts'
import type { Outcome } from '../core/gate.ts'
import { deadlineExceeded, isRejection, Rejection } from '../core/rejection.ts'
import { defer } from '../internal/deferred.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { deadline } from '../timeout/deadline.ts'
import { concurrency } from './concurrency.ts'
import { fixedWindow } from './fixed-window.ts'
import type { Decision, RemoteLimiter } from './limiter.ts'
import { type RateLimitOptions, rateLimit } from './rate-limit.ts'
import { decisionOf } from './refusal.ts'
import { limitDenied, limitNear, limitShadowed, nearLimit } from './signals.ts'
import { tokenBucket } from './token-bucket.ts'

interface Ask {
  readonly who?: string
  readonly cost?: number
}
const echo = async (request: Ask) => request
const window = (limit: number) => fixedWindow({ limit, windowMs: 1000, name: 'w' })
const options: RateLimitOptions<Ask> = {
  key: ({ who }) => who,
  cost: ({ cost }) => cost ?? 1,
  random: () => 0,
}

/** A limiter that answers later, with what a local one says. */
function remote(inner = window(2), delay: () => Promise<void> = async () => {}) {
  const calls: unknown[][] = []
  const limiter: RemoteLimiter = {
    immediate: false,
    kind: 'remote',
    name: 'far',
    take: async (key, cost, context) => {
      calls.push(['take', key, cost])
      await delay()
      return inner.take(key, cost, context!.clock.now())
    },
    peek: async (key, cost) => inner.peek(key, cost),
    refund: async (key, cost, context, takenAt) => {
      calls.push(['refund', key, cost])
      inner.refund(key, cost, context!.clock.now(), takenAt)
    },
    charge: async (key, cost, context) => {
      calls.push(['charge', key, cost])
      inner.charge(key, cost, context!.clock.now())
    },
    block: async () => {},
    release: async (key, cost) => {
      calls.push(['release', key, cost])
    },
    policies: () => inner.policies(),
    update: () => {},
    snapshot: () => ({}),
    reset: () => {},
  }
  return { limiter, calls, inner }
}

const stops: (() => void)[] = []
afterEach(() => {
  for (const stop of stops.splice(0)) stop()
})

describe('rateLimit', () => {
  it('lets through what the limiter grants, and refuses the rest with what to do next', async () => {
    const call = rateLimit(window(2), options)(echo)
    const context = createContext({ clock: manualClock() })
    expect(await call({ who: 'ann' }, context)).toEqual({ who: 'ann' })
    await call({ who: 'ann' }, context)
    const error = await call({ who: 'ann' }, context).catch(error => error)
    expect(isRejection(error, 'rate-limited')).toBe(true)
    expect(error).toMatchObject({ policy: 'w', retry: 'later', retryAfterMs: 1000, begun: false })
    expect(error.message).toBe('[rate-limited] refused by w: 0 of 2 left')
    expect(decisionOf(error)).toMatchObject({ allowed: false, remaining: 0, limit: 2 })
    expect(await call({ who: 'bob' }, context)).toEqual({ who: 'bob' })
    expect(decisionOf(new Error('x'))).toBeUndefined()
    expect(decisionOf(undefined)).toBeUndefined()
  })

  it('tells "never" from "not now"', async () => {
    const call = rateLimit(window(2), options)(echo)
    const error = await call({ cost: 3 }).catch(error => error)
    expect(error).toMatchObject({ retry: 'never', retryAfterMs: undefined })
  })

  it('counts all calls without a key as one caller’s', async () => {
    const call = rateLimit(window(2), options)(echo)
    await call({})
    await call({})
    await expect(call({})).rejects.toThrow(/rate-limited/)
    expect(await call({ who: 'known' })).toBeDefined()
    const everybody = rateLimit(window(1))(echo)
    await everybody({ who: 'a' })
    await expect(everybody({ who: 'b' })).rejects.toThrow(/rate-limited/)
  })

  it('is a gate where the limiter answers at once, and a layer where it may not', () => {
    expect(partsOf(rateLimit(window(1)))).toEqual([{ kind: 'rate-limit', name: 'w' }])
    expect(partsOf(rateLimit(remote().limiter, { name: 'mine' }))).toEqual([
      { kind: 'rate-limit', name: 'mine' },
    ])
  })

  it('adds a random part to the wait that it names, never to the limit', async () => {
    const clock = manualClock()
    const call = rateLimit(window(1), { retryJitterRatio: 0.5, random: () => 0.5 })(echo)
    const context = createContext({ clock })
    await call({}, context)
    const error = await call({}, context).catch(error => error)
    expect(error.retryAfterMs).toBe(1250)
    expect(decisionOf(error)!.retryAfterMs).toBe(1000)
    await clock.advance(1000)
    expect(await call({}, context)).toBeDefined()
  })

  it('writes the fields of every decision, of several limits as a list', async () => {
    const call = chain(
      rateLimit(tokenBucket({ ratePerSecond: 10, burst: 20, name: 'all' })),
      rateLimit(window(1), options),
    )(echo)
    const ask = async () => {
      const { context, fields } = collectAnswerFields(createContext({ clock: manualClock() }))
      await call({ who: 'ann' }, context).catch(() => {})
      return Object.fromEntries(fields)
    }
    expect(await ask()).toEqual({
      ratelimit: '"all";r=19;t=1, "w";r=0;t=1',
      'ratelimit-policy': '"all";q=20;w=2, "w";q=1;w=1',
    })
    expect((await ask()).ratelimit).toBe('"all";r=18;t=1, "w";r=0;t=1')
    const { context, fields } = collectAnswerFields(createContext())
    await rateLimit(window(1), { headers: false })(echo)({}, context)
    expect(fields.size).toBe(0)
  })

  it('lets everything through in the shadow, and says what it would have refused', async () => {
    const shadowed = vi.fn()
    stops.push(limitShadowed.on(shadowed))
    const call = rateLimit(window(1), { ...options, shadow: true })(echo)
    await call({ who: 'ann' })
    await call({ who: 'ann' })
    expect(shadowed).toHaveBeenCalledExactlyOnceWith({
      key: 'ann',
      cost: 1,
      decision: expect.objectContaining({ allowed: true, shadowed: true }),
    })
  })

  it('tells of denials, and of grants that leave little, here and further in', async () => {
    const [denied, near] = [vi.fn(), vi.fn()]
    stops.push(limitDenied.on(denied), limitNear.on(near))
    const seen: (number | undefined)[] = []
    const call = rateLimit(window(4), { ...options, nearRatio: 0.5 })(async (_: Ask, context: Context) => {
      seen.push(context.get(nearLimit)?.remaining)
    })
    for (let i = 0; i < 5; i++) await call({ who: 'ann' }).catch(() => {})
    expect(seen).toEqual([undefined, 2, 1, 0])
    expect(near).toHaveBeenCalledTimes(3)
    expect(denied).toHaveBeenCalledTimes(1)
  })

  it('calls `onDecision` with each decision', async () => {
    const decisions: [Decision, unknown][] = []
    const call = rateLimit(window(1), {
      ...options,
      onDecision: (decision, request) => decisions.push([decision, request]),
    })(echo)
    await call({ who: 'ann' })
    await call({ who: 'ann' }).catch(() => {})
    expect(decisions.map(([{ allowed }, request]) => [allowed, request])).toEqual([
      [true, { who: 'ann' }],
      [false, { who: 'ann' }],
    ])
  })

  const endings: [Outcome, () => Promise<unknown>][] = [
    ['success', async () => 'fine'],
    ['failure', async () => Promise.reject(new Error('broken'))],
    [
      'refused',
      async () => Promise.reject(new Rejection({ reason: 'shed', policy: 'x', retry: 'elsewhere' })),
    ],
    ['timeout', async () => Promise.reject(deadlineExceeded('x', true))],
    [
      'cancelled',
      async () => Promise.reject(new Rejection({ reason: 'cancelled', policy: 'x', retry: 'never' })),
    ],
  ]
  it.each(endings)('gives the cost back after the outcomes that it is told to: %s', async (outcome, end) => {
    for (const make of [() => ({ limiter: window(5), left: undefined }), () => remote(window(5))]) {
      const made = make()
      const { limiter } = made
      const left = () => ('inner' in made ? made.inner : made.limiter).peek('').remaining
      await rateLimit(limiter, { refundOn: [outcome] })(end)().catch(() => {})
      await Promise.resolve()
      expect(left()).toBe(5)
      const others = endings.map(([name]) => name).filter(name => name !== outcome)
      await rateLimit(limiter, { refundOn: others })(end)().catch(() => {})
      expect(left()).toBe(4)
    }
  })

  it('settles what a call did cost when its answer is there', async () => {
    for (const made of [{ limiter: window(100), inner: undefined }, remote(window(100))]) {
      const left = () => (made.inner ?? (made.limiter as ReturnType<typeof window>)).peek('').remaining
      const call = rateLimit<Ask, { used: number }>(made.limiter, {
        cost: 10,
        actualCost: ({ used }) => used,
      })(async (request: Ask) => ({ used: request.cost! }))
      await call({ cost: 3 })
      expect(left()).toBe(97)
      await call({ cost: 27 })
      expect(left()).toBe(70)
      await call({ cost: 10 })
      expect(left()).toBe(60)
    }
  })

  it('loses no good answer to an actual cost that makes no sense', async () => {
    const limiter = window(100)
    const call = rateLimit(limiter, { cost: 10, actualCost: () => Number.NaN })(echo)
    expect(await call({ who: 'ann' })).toEqual({ who: 'ann' })
    const throwing = rateLimit(limiter, {
      cost: 10,
      actualCost: () => {
        throw new Error('no idea')
      },
    })(echo)
    expect(await throwing({ who: 'ann' })).toEqual({ who: 'ann' })
    expect(limiter.peek('').remaining).toBe(80)
  })

  it('rejects a call whose cost or key makes no sense, before it begins', async () => {
    const limiter = window(100)
    const handler = vi.fn(echo)
    await expect(rateLimit(limiter, { cost: () => Number.NaN })(handler)({})).rejects.toThrow(RangeError)
    await expect(rateLimit(limiter, { key: () => 7 as never })(handler)({})).rejects.toThrow(TypeError)
    expect(handler).not.toHaveBeenCalled()
    expect(limiter.peek('').remaining).toBe(100)
  })

  it.each([
    [() => rateLimit(undefined as never), /limiter/],
    [() => rateLimit({} as never), /limiter/],
    [() => rateLimit(window(1), { keys: 1 } as never), /no option `keys`/],
    [() => rateLimit(window(1), { key: 'x' as never }), /`key`/],
    [() => rateLimit(window(1), { cost: -1 }), /`cost`/],
    [() => rateLimit(window(1), { actualCost: 1 as never }), /`actualCost`/],
    [() => rateLimit(window(1), { refundOn: ['x' as never] }), /`refundOn`/],
    [() => rateLimit(window(1), { nearRatio: 2 }), /`nearRatio`/],
    [() => rateLimit(window(1), { retryJitterRatio: -1 }), /`retryJitterRatio`/],
    [() => rateLimit(window(1), { onDecision: 1 as never }), /`onDecision`/],
    [() => rateLimit(window(1), { random: 1 as never }), /`random`/],
  ])('refuses options that make no sense: %#', (make, message) => {
    expect(make).toThrow(message)
  })
})

describe('rateLimit with a limit on concurrency', () => {
  it('releases once, however the call ends', async () => {
    for (const end of [
      async () => 'fine',
      async () => Promise.reject(new Error('broken')),
      () => {
        throw new Error('at once')
      },
    ]) {
      const limiter = concurrency({ limit: 1 })
      const call = rateLimit(limiter)(end as () => Promise<unknown>)
      for (let i = 0; i < 3; i++) {
        await call().catch(error => expect(isRejection(error)).toBe(false))
        expect(limiter.snapshot().held).toBe(0)
      }
    }
  })

  it('holds the place until the work is over, though its caller has long been answered', async () => {
    const clock = manualClock()
    const limiter = concurrency({ limit: 1, clock })
    const work = defer<string>()
    const call = chain(rateLimit(limiter), deadline({ totalMs: 100 }))(() => work.promise)
    const answer = call(undefined, createContext({ clock })).catch(error => error)
    await clock.advance(100)
    expect(isRejection(await answer, 'deadline-exceeded')).toBe(true)
    expect(limiter.snapshot().held).toBe(1)
    work.resolve('late')
    await clock.flush()
    expect(limiter.snapshot().held).toBe(0)
  })
})

describe('rateLimit with a limiter that answers later', () => {
  it('waits for the answer, and does as it says', async () => {
    const { limiter, calls } = remote()
    const call = rateLimit(limiter, options)(echo)
    const context = createContext({ clock: manualClock() })
    expect(await call({ who: 'ann' }, context)).toEqual({ who: 'ann' })
    await call({ who: 'ann' }, context)
    const error = await call({ who: 'ann' }, context).catch(error => error)
    expect(error).toMatchObject({ reason: 'rate-limited', retryAfterMs: 1000 })
    expect(calls.filter(([what]) => what === 'take')).toHaveLength(3)
    expect(calls.filter(([what]) => what === 'release')).toHaveLength(2)
  })

  it('passes a failure of the limiter on', async () => {
    const { limiter } = remote(window(1), async () => Promise.reject(new Error('no store')))
    await expect(rateLimit(limiter)(echo)({})).rejects.toThrow('no store')
  })

  it('gives back what it got for a call that had ended by then', async () => {
    const asked = defer<void>()
    const { limiter, inner, calls } = remote(window(2), () => asked.promise)
    const handler = vi.fn(echo)
    const open = openContext({ clock: manualClock() })
    const answer = rateLimit(limiter)(handler)({}, open.context).catch(error => error)
    open.cancel()
    asked.resolve()
    expect(isRejection(await answer, 'cancelled')).toBe(true)
    expect(handler).not.toHaveBeenCalled()
    expect(calls).toContainEqual(['refund', '', 1])
    expect(inner.peek('', 1, open.context.clock.now()).remaining).toBe(2)
  })

  it('releases when the work is over, and lets those outside know of that work', async () => {
    const clock = manualClock()
    const { limiter, calls } = remote()
    const outside = concurrency({ limit: 5 })
    const work = defer<string>()
    const call = chain(rateLimit(outside), rateLimit(limiter), deadline({ totalMs: 100 }))(() => work.promise)
    const answer = call(undefined, createContext({ clock })).catch(error => error)
    await clock.advance(100)
    expect(isRejection(await answer, 'deadline-exceeded')).toBe(true)
    expect(calls.some(([what]) => what === 'release')).toBe(false)
    expect(outside.snapshot().held).toBe(1)
    work.resolve('late')
    await clock.flush()
    expect(calls).toContainEqual(['release', '', 1])
    expect(outside.snapshot().held).toBe(0)
  })

  it('gives nothing back that was only let through in the shadow', async () => {
    const { limiter, inner } = remote(window(1))
    const call = rateLimit(limiter, { shadow: true, refundOn: ['success'] })(echo)
    inner.take('')
    await call({})
    expect(inner.peek('').remaining).toBe(0)
    const local = window(1)
    local.take('')
    await rateLimit(local, { shadow: true, refundOn: ['success'] })(echo)({})
    expect(local.peek('').remaining).toBe(0)
  })
})
