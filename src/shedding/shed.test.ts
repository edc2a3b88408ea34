import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import { runnerLoop } from '../../test/support/overload.ts'
import { collectAnswerFields } from '../core/answer-fields.ts'
import { chain, describe as partsOf } from '../core/chain.ts'
import { type Context, createContext, openContext } from '../core/context.ts'
import { criticalities } from '../core/criticality.ts'
import { deadlineExceeded, isRejection, Rejection } from '../core/rejection.ts'
import { eventLoop } from '../testing/event-loop.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { deadline } from '../timeout/deadline.ts'
import { adaptive } from './adaptive.ts'
import type { ShedCall } from './call.ts'
import { fixed } from './fixed.ts'
import { shed } from './shed.ts'
import type { Shedder } from './shedder.ts'

/** Both forms: a gate, and the layer of a shedder with a queue. */
const forms: [string, () => Shedder][] = [
  ['a gate', () => fixed({ limit: 2 })],
  ['a layer', () => adaptive()],
]

const never = (): Promise<never> => new Promise(() => {})

describe.each(forms)('as %s', (_form, make) => {
  test('a call that is let in counts until its work is over', async () => {
    const shedder = make()
    let end!: () => void
    const call = shed(shedder)(() => new Promise<string>(resolve => (end = () => resolve('done'))))
    const answer = call()
    expect(shedder.snapshot().inFlight).toBe(1)
    end()
    expect(await answer).toBe('done')
    expect(shedder.snapshot().inFlight).toBe(0)
  })

  test.each([
    ['an error', () => Promise.reject(new Error('broken'))],
    [
      'an error at once',
      () => {
        throw new Error('broken')
      },
    ],
    ['a timeout', () => Promise.reject(deadlineExceeded('inner', true))],
    [
      'a refusal',
      () => Promise.reject(new Rejection({ reason: 'rate-limited', policy: 'inner', retry: 'later' })),
    ],
  ])('%s gives the place back and comes out as it is', async (_what, handler) => {
    const shedder = make()
    await expect(shed(shedder)(handler as () => Promise<never>)()).rejects.toBeDefined()
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, admitted: 1 })
  })

  test('work that goes on after its caller had a timeout still counts', async () => {
    const clock = manualClock()
    const shedder = make()
    let end!: () => void
    const protect = chain(shed(shedder), deadline({ totalMs: 100 }))
    const answer = protect(() => new Promise<void>(resolve => (end = resolve)))(
      undefined,
      createContext({ clock }),
    )
    const caught = expect(answer).rejects.toSatisfy(error => isRejection(error, 'deadline-exceeded'))
    await clock.advance(110)
    await caught
    expect(shedder.snapshot().inFlight).toBe(1)
    end()
    await clock.flush()
    expect(shedder.snapshot().inFlight).toBe(0)
  })

  test('a call that had ended before it came is not let in', async () => {
    const shedder = make()
    const { context, cancel } = openContext()
    cancel(new Error('gone'))
    await expect(shed(shedder)(never)(undefined, context)).rejects.toThrow('gone')
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, admitted: 0 })
  })

  test('exempt calls pass, whatever the state, and are counted', async () => {
    const shedder = make()
    const call = shed<string>(shedder, { exempt: path => path === '/healthz' })(async (path: string) => path)
    expect(await call('/healthz')).toBe('/healthz')
    expect(shedder.snapshot()).toMatchObject({ exempt: 1, admitted: 0 })
  })

  test('an option that throws lets the call through', async () => {
    const shedder = make()
    const route = (): string => {
      throw new Error('no route')
    }
    expect(await shed(shedder, { route })(async () => 'served')()).toBe('served')
    expect(shedder.snapshot().inFlight).toBe(0)
  })

  test('a shedder that throws lets the call through', async () => {
    const shedder = make()
    shedder.offer = () => {
      throw new Error('broken')
    }
    expect(await shed(shedder)(async () => 'served')()).toBe('served')
  })

  test('one that throws when it is told or asked how it came out costs nobody anything', async () => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const shedder = make()
    shedder.pressure = () => {
      throw new Error('no pressure')
    }
    const { context } = collectAnswerFields(createContext())
    expect(await shed(shedder)(async () => 'served')(undefined, context)).toBe('served')
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, admitted: 1 })
    shedder.settle = () => {
      throw new Error('no end')
    }
    expect(await shed(shedder, { headers: false })(async () => 'served')()).toBe('served')
    expect(warned).toHaveBeenCalled()
    warned.mockRestore()
  })

  test('the route, the tenant and the class come from options or from the context', async () => {
    const shedder = make()
    const seen: ShedCall[] = []
    const { offer } = shedder
    shedder.offer = (call, ...rest) => {
      seen.push(call)
      return offer.call(shedder, call, ...rest)
    }
    const context = createContext({ tenant: 'acme', criticality: 'sheddable', attempt: 2, timeoutMs: 1_000 })
    await shed(shedder)(async () => {})(undefined, context)
    const options = { route: () => '/r', tenant: () => 'other', criticality: () => 'critical-plus' as const }
    await shed(shedder, options)(async () => {})(undefined, context)
    expect(seen[0]).toMatchObject({ tenant: 'acme', importance: 3, again: true, route: undefined })
    expect(seen[0]!.deadline).toBe(context.deadline)
    expect(seen[1]).toMatchObject({ tenant: 'other', importance: 0, again: true, route: '/r' })
  })

  test('it is known by its kind and its name', () => {
    expect(partsOf(shed(make(), { name: 'door' }))).toEqual([{ kind: 'shed', name: 'door' }])
    expect(partsOf(shed(make()))[0]!.name).toMatch(/fixed|adaptive/)
  })

  test('options are checked', () => {
    expect(() => shed(make(), { route: 5 } as object)).toThrow('Expected `route` to be a function, got 5')
    expect(() => shed(make(), { limit: 5 } as object)).toThrow('shed has no option `limit`')
  })
})

test('the first argument must be a shedder', () => {
  expect(() => shed({} as Shedder)).toThrow('Expected the first argument of shed() to be a shedder')
})

describe('a refusal', () => {
  async function refusalFor(context: Context): Promise<Rejection> {
    const shedder = fixed({ limit: 1 })
    const call = shed(shedder, { random: () => 0.5 })(never)
    void call()
    void call(undefined, createContext({ criticality: 'critical-plus' }))
    return (await call(undefined, context).catch(error => error)) as Rejection
  }

  test('says that another replica may be asked, and for how long to stay away', async () => {
    expect(await refusalFor(createContext())).toMatchObject({
      reason: 'shed',
      policy: 'fixed',
      retry: 'elsewhere',
      retryAfterMs: 1_000,
      begun: false,
      detail: 'limit',
    })
  })

  test('of a second try says that nobody should try again', async () => {
    expect(await refusalFor(createContext({ attempt: 2 }))).toMatchObject({ reason: 'shed', retry: 'never' })
  })

  test('spreads those it sends away', async () => {
    const waits = new Set<number>()
    for (const random of [() => 0, () => 0.999]) {
      const call = shed(fixed({ limit: 1 }), { random })(never)
      void call()
      const error = (await call().catch(error => error)) as Rejection
      waits.add(Math.round(error.retryAfterMs!))
    }
    expect(waits).toEqual(new Set([500, 1_499]))
  })

  test('comes with the pressure, as do answers meanwhile', async () => {
    const shedder = fixed({ limit: 1 })
    const call = shed(shedder)(never)
    void call()
    const { context, fields } = collectAnswerFields(createContext())
    await call(undefined, context).catch(() => {})
    expect(fields.get('x-pressure')).toBe('0.75')
    const quiet = collectAnswerFields(createContext())
    await shed(fixed({ limit: 2 }))(async () => {})(undefined, quiet.context)
    expect(quiet.fields.has('x-pressure')).toBe(false)
    const told = collectAnswerFields(createContext())
    await shed(shedder, { headers: false })(never)(undefined, told.context).catch(() => {})
    expect(told.fields.has('x-pressure')).toBe(false)
  })
})

describe('in the line of a shedder with a queue', () => {
  /** A loop that has been busy for long, so that calls wait. */
  function busy() {
    const loop = eventLoop()
    const shedder = adaptive()
    const protect = shed(shedder, { loop: runnerLoop(loop) })
    const order: string[] = []
    const call = protect(async (name: unknown) => {
      order.push(name as string)
      return name
    })
    void call('before', createContext({ clock: loop.clock }))
    loop.burn(10)
    return { loop, shedder, order, call, context: createContext({ clock: loop.clock }) }
  }

  test('calls wait for their turn, the most critical first', async () => {
    const { loop, order, call, context, shedder } = busy()
    const answers = criticalities
      .toReversed()
      .map(criticality => call(criticality, context.with({ criticality })))
    expect(order).toEqual(['before'])
    expect(shedder.queued).toBe(4)
    loop.run(loop.now() + 1)
    expect(await Promise.all(answers)).toEqual(criticalities.toReversed())
    expect(order).toEqual(['before', ...criticalities])
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, queued: 0 })
  })

  test('one that is cancelled while it waits does not begin', async () => {
    const { loop, order, call, shedder } = busy()
    const { context, cancel } = openContext({ clock: loop.clock })
    const answer = call('cancelled', context)
    cancel(new Error('left'))
    loop.run(loop.now() + 1)
    await expect(answer).rejects.toThrow('left')
    expect(order).toEqual(['before'])
    expect(shedder.snapshot().refused.gone).toBe(1)
  })

  test('one that is cancelled between its turn and its start gives the place back', async () => {
    const { loop, order, call, shedder } = busy()
    const { context, cancel } = openContext({ clock: loop.clock })
    const answer = call('cancelled', context)
    loop.run(loop.now() + 1)
    cancel(new Error('left'))
    await expect(answer).rejects.toThrow('left')
    await turn()
    expect(order).toEqual(['before'])
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, queued: 0 })
  })

  test('one that waits too long is refused', async () => {
    const { loop, call, context, shedder } = busy()
    const answer = call('late', context)
    const caught = expect(answer).rejects.toMatchObject({ reason: 'shed', detail: 'expired' })
    // Nobody is refused for a pause alone.
    loop.burn(220)
    loop.run(loop.now() + 1)
    await caught
    expect(shedder.snapshot().refused.expired).toBe(1)
  })
})
