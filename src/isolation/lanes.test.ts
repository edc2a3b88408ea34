import { describe, expect, it } from 'vitest'
import { chain, describe as parts } from '../core/chain.ts'
import { createContext } from '../core/context.ts'
import { type Deferred, defer } from '../internal/deferred.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { bulkhead } from './bulkhead.ts'
import { hotKeys } from './hot-keys.ts'
import { lanes } from './lanes.ts'

const flush = () => new Promise(resolve => setImmediate(resolve))
const settled = (promise: Promise<unknown>) =>
  promise.then(
    value => value,
    error => error,
  )

interface Request {
  readonly lane: 'fast' | 'slow'
  readonly item?: string
}

function backend() {
  const running: (Deferred<string> & { readonly request: Request })[] = []
  return {
    running,
    handler: (request: Request) => {
      const call = { ...defer<string>(), request }
      running.push(call)
      return call.promise
    },
  }
}

describe('lanes', () => {
  const two = { fast: { limit: 2 }, slow: { limit: 1 } }

  it('keep one kind of call from taking the places of another', async () => {
    const { handler, running } = backend()
    const divided = lanes({ lanes: two, classify: (request: Request) => request.lane, name: 'reports' })
    const call = divided(handler)
    call({ lane: 'slow' })
    await expect(call({ lane: 'slow' })).rejects.toMatchObject({
      reason: 'bulkhead-full',
      policy: 'reports/slow',
    })
    call({ lane: 'fast' })
    call({ lane: 'fast' })
    expect(running.map(({ request }) => request.lane)).toEqual(['slow', 'fast', 'fast'])
    expect(divided.snapshot()).toMatchObject({
      lanes: { fast: { active: 2 }, slow: { active: 1, refused: 1 } },
    })
    for (const call of running) call.resolve('done')
    await flush()
    expect(divided.snapshot()).toMatchObject({ lanes: { fast: { active: 0 }, slow: { active: 0 } } })
  })

  it('are a gate without queues, and a layer as soon as one lane has one', async () => {
    const classify = (request: Request) => request.lane
    const gated = chain<Request>(lanes({ lanes: two, classify }), bulkhead({ limit: 9 }))
    expect(parts(gated).map(({ kind }) => kind)).toEqual(['bulkhead', 'bulkhead'])
    const { handler, running } = backend()
    const call = lanes({ lanes: { fast: { limit: 1, queue: 1 }, slow: { limit: 1 } }, classify })(handler)
    call({ lane: 'fast' })
    const waits = call({ lane: 'fast' })
    call({ lane: 'slow' })
    expect(await settled(call({ lane: 'slow' }))).toMatchObject({ reason: 'bulkhead-full' })
    running[0]!.resolve('one')
    await flush()
    running[2]!.resolve('two')
    expect(await waits).toBe('two')
  })

  it('can keep core calls from the rest by criticality', async () => {
    const { handler } = backend()
    const call = lanes({
      lanes: { core: { limit: 1 }, rest: { limit: 1 } },
      classify: (_request, context) => (context.criticality.startsWith('critical') ? 'core' : 'rest'),
    })(handler)
    const rest = createContext({ criticality: 'sheddable' })
    call({ lane: 'fast' }, rest)
    expect(await settled(call({ lane: 'fast' }, rest))).toMatchObject({ policy: 'lanes/rest' })
    call({ lane: 'fast' })
    expect(await settled(call({ lane: 'fast' }))).toMatchObject({ policy: 'lanes/core' })
  })

  it('reject a call whose lane does not exist, and take up nothing for it', async () => {
    for (const queue of [0, 1]) {
      const divided = lanes({ lanes: { only: { limit: 1, queue } }, classify: () => 'other' as 'only' })
      const call = divided(async () => 'ok')
      await expect(call()).rejects.toThrow('Expected `classify` to return one of only, got other')
      expect(divided.snapshot()).toMatchObject({ lanes: { only: { active: 0, waiting: 0 } } })
    }
  })

  it('change their limits all or none', () => {
    const divided = lanes({ lanes: two, classify: (request: Request) => request.lane })
    expect(() => divided.update({ lanes: { fast: { limit: 5 }, slow: { limit: -1 } } })).toThrow(
      '`lanes.slow.limit`',
    )
    expect(() => divided.update({ lanes: { fats: { limit: 5 } } as never })).toThrow('has no option `fats`')
    expect(() => divided.update({ hot: { limit: 1 } })).toThrow('made without it')
    expect(divided.snapshot().lanes.fast).toMatchObject({ limit: 2 })
    divided.update({ lanes: { fast: { limit: 5 } } })
    expect(divided.snapshot().lanes.fast).toMatchObject({ limit: 5 })
    expect(() => lanes({ lanes: {}, classify: () => 'x' as never })).toThrow('at least one lane')
  })
})

describe('the lane of a hot key', () => {
  const hotRequest = (item: string): Request => ({ lane: 'fast', item })
  const make = (maxLanes = 2) => {
    const clock = manualClock()
    const keys = hotKeys({ minPerSecond: 0, hotShare: 0.3, capacity: 8 })
    const { handler, running } = backend()
    const divided = lanes({
      lanes: { fast: { limit: 3 }, slow: { limit: 1 } },
      classify: (request: Request) => request.lane,
      hot: { keys, key: (request: Request) => request.item, limit: 1, maxLanes },
      holdUntil: 'answer',
    })
    const call = divided(handler)
    // A steady background, so that nothing is hot to begin with.
    for (let i = 0; i < 100; i++) keys.touch(`other ${i % 5}`, clock.now())
    return { divided, running, keys, context: createContext({ clock }), call }
  }

  it('is its own, so that the rest of its old lane stays free', async () => {
    const { divided, call, context, keys } = make()
    for (let i = 0; i < 200; i++) keys.touch('celebrity', context.clock.now())
    call(hotRequest('celebrity'), context)
    for (let i = 0; i < 5; i++) {
      expect(await settled(call(hotRequest('celebrity'), context))).toMatchObject({ policy: 'lanes/hot' })
    }
    call(hotRequest('anybody'), context)
    expect(divided.snapshot()).toMatchObject({
      hot: { celebrity: { active: 1, refused: 5 } },
      lanes: { fast: { active: 1 } },
    })
  })

  it('is not needed by calls about nothing in particular', () => {
    const { divided, call, context } = make()
    call({ lane: 'fast' }, context)
    expect(divided.snapshot().hot).toEqual({})
    expect(divided.snapshot().lanes.fast).toMatchObject({ active: 1 })
  })

  it('goes to another key when it is idle, and to nobody while it is not', async () => {
    const { divided, call, context, keys, running } = make(1)
    for (let i = 0; i < 200; i++) keys.touch('first', context.clock.now())
    call(hotRequest('first'), context)
    for (let i = 0; i < 300; i++) keys.touch('second', context.clock.now())
    call(hotRequest('second'), context)
    expect(divided.snapshot()).toMatchObject({
      hot: { first: { active: 1 } },
      lanes: { fast: { active: 1 } },
    })
    for (const { resolve } of running) resolve('done')
    await flush()
    call(hotRequest('second'), context)
    expect(Object.keys(divided.snapshot().hot)).toEqual(['second'])
  })

  it('follows changes of its limit, those it has and those to come', async () => {
    const { divided, call, context, keys } = make()
    for (let i = 0; i < 200; i++) keys.touch('first', context.clock.now())
    call(hotRequest('first'), context)
    divided.update({ hot: { limit: 2 } })
    call(hotRequest('first'), context)
    expect(divided.snapshot().hot.first).toMatchObject({ active: 2, limit: 2 })
    expect(() => divided.update({ hot: { limit: 2, queue: 1 } })).toThrow('Expected `hot.queue` to stay 0')
    for (let i = 0; i < 300; i++) keys.touch('second', context.clock.now())
    call(hotRequest('second'), context)
    expect(divided.snapshot().hot.second).toMatchObject({ limit: 2 })
    divided.reset()
    expect(keys.snapshot().tracked).toBe(0)
  })
})
