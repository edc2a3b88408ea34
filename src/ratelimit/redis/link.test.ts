import { describe, expect, test } from 'vitest'
import { layer } from '../../core/chain.ts'
import { createContext, openContext } from '../../core/context.ts'
import { type Deferred, defer } from '../../internal/deferred.ts'
import type { RedisClient } from '../../internal/redis-client.ts'
import type { RedisScript } from '../../internal/redis-script.ts'
import { type ManualClock, manualClock } from '../../testing/index.ts'
import { Link, type LinkOptions } from './link.ts'

/** A client whose replies the test gives by hand. */
class HandClient implements RedisClient {
  status = 'ready'
  readonly asked: Deferred<unknown>[] = []
  evalsha(): Promise<unknown> {
    const answer = defer<unknown>()
    this.asked.push(answer)
    return answer.promise
  }
  eval(): Promise<unknown> {
    return this.evalsha()
  }
  get last(): Deferred<unknown> {
    return this.asked.at(-1)!
  }
}

const script: RedisScript = { run: client => client.evalsha('', 0) }
const command = { script, keys: ['k'], args: [] }

function setUp(options: Partial<LinkOptions> = {}): { clock: ManualClock; client: HandClient; link: Link } {
  const clock = manualClock()
  const client = new HandClient()
  const link = new Link({
    name: 'test',
    client,
    clock,
    timeoutMs: 50,
    probeEveryMs: 100,
    around: undefined,
    ...options,
  })
  return { clock, client, link }
}

async function failThrice(clock: ManualClock, link: Link): Promise<void> {
  for (let i = 0; i < 3; i++) {
    const asked = link.ask(command, link.background, clock.now())
    await clock.advance(50)
    expect(await asked).toBeUndefined()
  }
}

describe('a question', () => {
  test('has its reply, and leaves no timer behind', async () => {
    const { clock, client, link } = setUp()
    const asked = link.ask(command, link.background, clock.now())
    client.last.resolve([1])
    expect(await asked).toEqual([1])
    expect(clock.armed).toBe(0)
  })

  test('that a hung Redis never answers is over in its time, and the late reply is ignored', async () => {
    const { clock, client, link } = setUp()
    const asked = link.ask(command, link.background, clock.now())
    await clock.advance(49)
    expect(clock.armed).toBe(1)
    await clock.advance(1)
    expect(await asked).toBeUndefined()
    client.last.resolve([1])
    await clock.flush()
    expect(link.snapshot()).toMatchObject({ timeouts: 1, errors: 0, reachable: true })
  })

  test('is answered by a reply that came in time and was read late, because the process was busy', async () => {
    const { clock, client, link } = setUp()
    const asked = link.ask(command, link.background, clock.now())
    // The alarm rings first, then the socket is read: the order of an event loop after a long block.
    clock.jump(80)
    const advanced = clock.advance(0)
    client.last.resolve([1])
    await advanced
    expect(await asked).toEqual([1])
    expect(link.snapshot()).toMatchObject({ timeouts: 0 })
  })

  test('ends with its call, with what ended it', async () => {
    const { clock, client, link } = setUp()
    const { context, cancel } = openContext({ clock, timeoutMs: 1_000 })
    const asked = link.ask(command, context, clock.now())
    cancel(new Error('gone'))
    await expect(asked).rejects.toThrow('gone')
    client.last.reject(new Error('late'))
    await clock.flush()
    expect(clock.armed).toBe(0)
    await expect(link.ask(command, context, clock.now())).rejects.toThrow('gone')
  })

  test('that fails, even at once, or is answered with nonsense, is out of reach and not an exception', async () => {
    const { clock, client, link } = setUp()
    const first = link.ask(command, link.background, clock.now())
    client.last.reject(new Error('READONLY'))
    expect(await first).toBeUndefined()
    const second = link.ask(command, link.background, clock.now())
    client.last.resolve('OK')
    expect(await second).toBeUndefined()
    const thrown = setUp({
      around: () => () => {
        throw new Error('at once')
      },
    })
    expect(await thrown.link.ask(command, thrown.link.background, 0)).toBeUndefined()
    expect(thrown.link.snapshot().lastError).toBe('at once')
  })

  test('goes through the middleware that stands around it', async () => {
    const seen: number[] = []
    const around = layer({ kind: 'other', name: 'spy' }, next => async (request, context) => {
      seen.push(context.deadline)
      return next(request, context)
    })
    const { clock, client, link } = setUp({ around })
    const asked = link.ask(command, createContext({ clock, timeoutMs: 20 }), clock.now())
    client.last.resolve([1])
    expect(await asked).toEqual([1])
    expect(seen).toEqual([clock.now() + 20])
  })
})

describe('a link', () => {
  test('that failed three times in a row is closed until a probe in the background is answered', async () => {
    const { clock, client, link } = setUp()
    await failThrice(clock, link)
    expect(link.open).toBe(false)
    link.probe(command, clock.now())
    expect(client.asked).toHaveLength(3)
    await clock.advance(100)
    link.probe(command, clock.now())
    link.probe(command, clock.now())
    expect(client.asked).toHaveLength(4)
    client.last.resolve([1])
    await clock.flush()
    expect(link.open).toBe(true)
    expect(clock.armed).toBe(0)
  })

  test('sends ever fewer probes to a client that neither answers nor fails, and tries again at once when it does', async () => {
    const { clock, client, link } = setUp()
    await failThrice(clock, link)
    for (let ms = 0; ms < 60_000; ms += 50) {
      await clock.advance(50)
      link.probe(command, clock.now())
    }
    expect(client.asked.length).toBeLessThan(3 + 20)
    client.asked[3]!.resolve([1])
    await clock.flush()
    link.probe(command, clock.now())
    client.last.resolve([1])
    await clock.flush()
    expect(link.open).toBe(true)
  })

  test('learns that Redis hangs also from calls that have less time than it would wait', async () => {
    const { clock, link } = setUp()
    for (let i = 0; i < 3; i++) {
      const asked = link.ask(command, openContext({ clock, timeoutMs: 20 }).context, clock.now())
      asked.catch(() => undefined)
      await clock.advance(20)
      await expect(asked).rejects.toMatchObject({ reason: 'deadline-exceeded' })
    }
    expect(link.open).toBe(false)
    expect(clock.armed).toBe(0)
  })

  test('learns nothing from calls that were cancelled', async () => {
    const { clock, link } = setUp()
    for (let i = 0; i < 5; i++) {
      const { context, cancel } = openContext({ clock })
      const asked = link.ask(command, context, clock.now())
      await clock.advance(30)
      cancel()
      await expect(asked).rejects.toMatchObject({ reason: 'cancelled' })
    }
    expect(link.open).toBe(true)
  })

  test('sends nothing to a client that lost its connection, which would keep it and do it later', async () => {
    const { client, link, clock } = setUp()
    expect(link.open).toBe(true)
    client.status = 'reconnecting'
    expect(link.open).toBe(false)
    link.probe(command, clock.now())
    expect(client.asked).toHaveLength(0)
    client.status = 'ready'
    expect(link.open).toBe(true)
  })
})
