import { afterEach, describe, expect, expectTypeOf, it, vi } from 'vitest'
import { withContext } from '../core/ambient.ts'
import { chain, describe as partsOf } from '../core/chain.ts'
import { type Context, createContext } from '../core/context.ts'
import { inspect } from '../core/mechanism.ts'
import type { Rejection } from '../core/rejection.ts'
import { type SettingsChange, settingsChanged } from '../core/settings.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { deadline } from './deadline.ts'
import { type Quota, quotas } from './quotas.ts'

const hang = (): Promise<never> => new Promise(() => {})
const clock = manualClock()
const within = (timeoutMs?: number): Context => createContext({ clock, timeoutMs })

afterEach(() => {
  vi.useRealTimers()
})

describe('a quota', () => {
  const quota = quotas({ redis: 50, grpc: 400 }, { reserveMs: 5, minUsefulMs: 10 })

  it('is found under its name, and under no other', () => {
    expectTypeOf(quota.redis).toEqualTypeOf<Quota>()
    // @ts-expect-error there is no such quota
    expect(quota.sql).toBeUndefined()
    expect(quota.redis.name).toBe('redis quota')
  })

  it('does work in what is left for it, and answers with the answer', async () => {
    const seen: number[] = []
    const work = async ({ remainingMs }: Context): Promise<string> => {
      seen.push(remainingMs)
      return 'value'
    }
    const answer = quota.redis.run(work, within())
    expectTypeOf(answer).toEqualTypeOf<Promise<string>>()
    expect(await answer).toBe('value')
    await quota.redis.run(work, within(500))
    await quota.redis.run(work, within(40))
    expect(seen).toEqual([50, 50, 35])
  })

  it('answers when the time is up, and tells the work', async () => {
    const told: unknown[] = []
    const work = ({ signal }: Context): Promise<never> => {
      signal.addEventListener('abort', () => told.push(signal.reason))
      return hang()
    }
    const started = clock.now()
    const refused = quota.redis
      .run(work, within())
      .catch((error: Rejection) => ({ error, at: clock.now() - started }))
    await clock.advance(50)
    const { error, at } = (await refused) as { error: Rejection; at: number }
    expect(at).toBe(50)
    expect(error).toMatchObject({
      reason: 'deadline-exceeded',
      policy: 'redis quota',
      begun: true,
      detail: 'after 50 ms',
      retry: 'later',
    })
    expect(told).toEqual([error])
    expect(clock.armed).toBe(0)
  })

  it('refuses at once when too little is left', async () => {
    const work = vi.fn(hang)
    const refusal = { reason: 'deadline-exceeded', policy: 'redis quota', begun: false, retry: 'never' }
    await expect(quota.redis.run(work, within(14))).rejects.toMatchObject(refusal)
    expect(() => quota.redis.ms(within(14))).toThrow(expect.objectContaining(refusal))
    expect(() => quota.redis.deadline(within(0))).toThrow(expect.objectContaining(refusal))
    expect(work).not.toHaveBeenCalled()
  })

  it('turns what the work throws into a failure, with its identity kept', async () => {
    const failure = new Error('ECONNREFUSED')
    const throwing = (): Promise<never> => {
      throw failure
    }
    await expect(quota.redis.run(throwing, within())).rejects.toBe(failure)
    await expect(quota.redis.run(() => Promise.reject(failure), within())).rejects.toBe(failure)
  })

  it('takes the current context where none is given', async () => {
    const inside = withContext(within(30), async () => [
      quota.redis.ms(),
      await quota.redis.run(async ({ remainingMs }) => remainingMs),
    ])
    expect(await inside).toEqual([25, 25])
    expect(quota.redis.ms()).toBe(50)
  })

  it('reaches code that is not handed the context, where one is current', async () => {
    const inner = (): number => quota.grpc.ms()
    const seen = withContext(within(1_000), () => quota.redis.run(async () => inner()))
    expect(await seen).toBe(45)
  })

  it('stands in a chain like any other protection', async () => {
    const call = chain(
      deadline({ totalMs: 30 }),
      quota.redis.middleware,
    )(async (_request: unknown, { remainingMs }) => remainingMs)
    expect(await call(undefined, within())).toBe(25)
    expect(partsOf(quota.redis.middleware)).toEqual([{ kind: 'other', name: 'redis quota' }])
  })
})

describe('milliseconds for a driver', () => {
  const quota = quotas({ sql: 300 }, { minUsefulMs: 0 })

  it('are whole, and never 0, which drivers take for no limit', () => {
    expect(quota.sql.ms(within(100.9))).toBe(100)
    expect(quota.sql.ms(within(1))).toBe(1)
    for (const timeoutMs of [0.99, 0]) {
      expect(() => quota.sql.ms(within(timeoutMs))).toThrow('[deadline-exceeded] refused by sql quota')
    }
  })

  it.each([0.1, 2_030.3, 1_048_560.3, 2 ** 40 - 15.7])(
    'are all of the limit, however the clock at %d rounds',
    startMs => {
      const odd = manualClock({ startMs })
      const exact = quotas({ sql: 50 }, { reserveMs: 5, minUsefulMs: 50 })
      for (let n = 0; n < 50; n++) {
        expect(exact.sql.ms(createContext({ clock: odd }))).toBe(50)
        expect(exact.sql.ms(createContext({ clock: odd, timeoutMs: 55 }))).toBe(50)
        odd.jump(0.7)
      }
    },
  )

  it('become a date that is no later, for grpc-js', () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_000_000 })
    expect(quota.sql.deadline(within())).toEqual(new Date(1_000_300))
    expect(quota.sql.deadline(within(100.9))).toEqual(new Date(1_000_100))
  })
})

describe('quotas', () => {
  it('change while calls are in flight, which keep what they were given', async () => {
    const quota = quotas({ redis: 50, grpc: 400 }, { reserveMs: 5 })
    const before = quota.redis.run(hang, within()).catch(() => clock.now())
    const started = clock.now()
    quota.update({ redis: 20 }, { reserveMs: 0 })
    expect(quota.redis.ms(within())).toBe(20)
    expect(quota.redis.ms(within(7))).toBe(7)
    expect(quota.grpc.ms(within())).toBe(400)
    await clock.advance(100)
    expect(((await before) as number) - started).toBe(50)
  })

  it('change all together or not at all', () => {
    const quota = quotas({ redis: 50, grpc: 400 })
    const before = quota.snapshot()
    expect(() => quota.update({ redis: 20, grpc: -1 })).toThrow('Expected `grpc` to be a number above 0')
    expect(() => quota.update({ redis: null as never })).toThrow('Expected `redis` to be a number above 0')
    expect(() => quota.update({ redis: 20 }, { reserveMs: -1 })).toThrow('Expected `reserveMs`')
    expect(() => quota.update({ sql: 20 } as never)).toThrow('update of quotas has no option `sql`')
    expect(() => quota.update({}, { name: 'x' } as never)).toThrow('update of quotas has no option `name`')
    expect(quota.snapshot()).toEqual(before)
  })

  it('say what has changed', () => {
    const quota = quotas({ redis: 50 }, { name: 'calls' })
    const heard: SettingsChange[] = []
    const stop = settingsChanged.on(change => heard.push(change))
    quota.update({ redis: 20 }, { minUsefulMs: 3 })
    stop()
    expect(heard).toEqual([{ kind: 'quotas', name: 'calls', changed: { redis: 20, minUsefulMs: 3 } }])
  })

  it('count what came of the calls, and forget it when told', async () => {
    const quota = quotas({ redis: 50, grpc: 400 }, { minUsefulMs: 10 })
    const idle = { limitMs: 400, calls: 0, inFlight: 0, refused: 0, timedOut: 0 }
    await quota.redis.run(async () => 1, within())
    await quota.redis.run(() => Promise.reject(new Error('failed')), within()).catch(() => {})
    await quota.redis.run(hang, within(5)).catch(() => {})
    expect(() => quota.redis.ms(within(5))).toThrow()
    const late = quota.redis.run(hang, within()).catch(() => {})
    await clock.advance(50)
    await late
    const flying = quota.redis.run(hang, within()).catch(() => {})
    expect(quota.snapshot()).toEqual({
      reserveMs: 0,
      minUsefulMs: 10,
      quotas: { redis: { limitMs: 50, calls: 4, inFlight: 1, refused: 2, timedOut: 1 }, grpc: idle },
    })
    quota.reset()
    expect(quota.snapshot().quotas.redis).toEqual({ ...idle, limitMs: 50, inFlight: 1 })
    await clock.advance(50)
    await flying
    expect(quota.snapshot().quotas.redis).toEqual({ ...idle, limitMs: 50, timedOut: 1 })
  })

  it('are listed where they have a name of their own', () => {
    const named = quotas({ redis: 50 }, { name: 'listed quotas' })
    quotas({ redis: 50 })
    const lines = inspect().filter(({ kind }) => kind === 'quotas')
    expect(lines.find(({ name }) => name === 'listed quotas')?.snapshot).toEqual(named.snapshot())
    expect(lines.some(({ name }) => name === 'quotas')).toBe(false)
  })

  it.each([
    '',
    'then',
    'update',
    'snapshot',
    'reset',
    'kind',
    'name',
    'constructor',
    'toString',
    '__proto__',
  ])('cannot be called %j', name => {
    const limits = JSON.parse(`{ ${JSON.stringify(name)}: 50 }`) as Record<string, number>
    expect(() => quotas(limits)).toThrow(`Expected another name for a quota than ${JSON.stringify(name)}`)
  })

  it('are checked when they are made', () => {
    expect(() => quotas({ redis: 0 })).toThrow('Expected `redis` to be a number above 0 to 2147483647, got 0')
    expect(() => quotas({ redis: '50' as never })).toThrow('got "50"')
    expect(() => quotas({})).toThrow('Expected a quota for at least one kind of call, got none')
    expect(() => quotas(undefined as never)).toThrow('Expected the quotas to be an object of limits by name')
    expect(() => quotas({ redis: 50 }, { reserveMs: -1 })).toThrow('Expected `reserveMs`')
    expect(() => quotas({ redis: 50 }, { reserve: 1 } as never)).toThrow('quotas has no option `reserve`')
    expect(() => quotas({ redis: 50 }, { name: '' })).toThrow('Expected `name`')
  })
})
