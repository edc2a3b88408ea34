/** What needs no server; test/integration has the rest. */
import { describe, expect, it } from 'vitest'
import { type Deferred, defer } from '../../internal/deferred.ts'
import { manualClock } from '../../testing/manual-clock.ts'
import { storeFailed } from '../events.ts'
import { switches } from '../switches.ts'
import { redisSwitches } from './redis-switches.ts'

/** A client whose answers come when the test says so. */
function fakeClient() {
  const asked: Deferred<unknown>[] = []
  const run = (): Promise<unknown> => {
    const answer = defer<unknown>()
    asked.push(answer)
    return answer.promise
  }
  return { asked, evalsha: run, eval: run }
}

const settled = (promise: Promise<unknown>) =>
  promise.then(
    value => value,
    error => error,
  )

const off = (ttl = '') => ['ads', '0 {"level":1}', ttl]

describe('redisSwitches', () => {
  it('look every pollMs, one look at a time, until they are closed', async () => {
    const clock = manualClock()
    const client = fakeClient()
    const features = switches({ ads: {} }, { clock })
    const remote = redisSwitches({ client, switches: features, pollMs: 100, clock })
    expect(client.asked).toHaveLength(1)
    await clock.advance(500)
    expect(client.asked).toHaveLength(1)
    client.asked[0]!.resolve(off('300'))
    await clock.advance(100)
    expect(client.asked).toHaveLength(2)
    expect(features.isOn('ads')).toBe(false)
    expect(remote.snapshot()).toMatchObject({ pollMs: 100, polls: 2, failures: 0, heardMsAgo: 100 })
    await clock.advance(200)
    expect(features.isOn('ads')).toBe(true)
    remote.close()
    client.asked[1]!.resolve([])
    await clock.advance(1_000)
    expect(client.asked).toHaveLength(2)
    expect(clock.armed).toBe(0)
  })

  it('go on looking after a failure, and say so', async () => {
    const clock = manualClock()
    const client = fakeClient()
    const heard: unknown[] = []
    const stop = storeFailed.on(event => heard.push(event))
    using remote = redisSwitches({ client, switches: switches({ ads: {} }), pollMs: 100, clock })
    const error = new Error('down')
    client.asked[0]!.reject(error)
    await clock.advance(100)
    stop()
    expect(client.asked).toHaveLength(2)
    expect(heard).toEqual([{ policy: 'redis-switches', doing: 'read', error }])
    expect(remote.snapshot()).toMatchObject({ failures: 1, heardMsAgo: undefined })
  })

  it('do not heed a look that was overtaken by a later one', async () => {
    const clock = manualClock()
    const client = fakeClient()
    const features = switches({ ads: {} })
    using remote = redisSwitches({ client, switches: features, clock })
    const later = remote.refresh()
    client.asked[1]!.resolve(off())
    await later
    client.asked[0]!.resolve([])
    await clock.flush()
    expect(features.isOn('ads')).toBe(false)
  })

  it('do not heed a look that comes back after they were closed, and do nothing more', async () => {
    const clock = manualClock()
    const client = fakeClient()
    const features = switches({ ads: {} }, { clock })
    const remote = redisSwitches({ client, switches: features, clock })
    const look = remote.refresh()
    const setting = remote.set('ads', { level: 1 })
    await clock.flush()
    remote.close()
    client.asked[0]!.resolve(off())
    client.asked[1]!.resolve(off())
    client.asked[2]!.resolve(null)
    await Promise.all([look, setting])
    expect(features.isOn('ads')).toBe(true)
    for (const act of [remote.set('ads', { level: 1 }), remote.clear('ads'), remote.refresh()]) {
      await expect(act).rejects.toThrow('redis-switches has been closed')
    }
    expect(client.asked).toHaveLength(3)
    expect(clock.armed).toBe(0)
  })

  it('set nothing here that Redis did not take, and say so', async () => {
    const clock = manualClock()
    const client = fakeClient()
    const features = switches({ ads: {} }, { clock })
    const heard: unknown[] = []
    const stop = storeFailed.on(event => heard.push(event))
    using remote = redisSwitches({ client, switches: features, clock })
    const failed = settled(remote.set('ads', { level: 1 }))
    await clock.flush()
    expect(features.isOn('ads')).toBe(true)
    const error = new Error('down')
    client.asked[1]!.reject(error)
    expect(await failed).toBe(error)
    expect(features.isOn('ads')).toBe(true)
    stop()
    expect(heard).toEqual([{ policy: 'redis-switches', doing: 'write', error }])

    features.set('ads', { level: 1 })
    const kept = settled(remote.clear('ads'))
    await clock.flush()
    client.asked[2]!.reject(error)
    expect(await kept).toBe(error)
    expect(features.isOn('ads')).toBe(false)
    expect(remote.snapshot().failures).toBe(2)
  })

  it('hold here as soon as Redis has them, whatever an older look says and though the next one fails', async () => {
    const clock = manualClock()
    const client = fakeClient()
    const features = switches({ ads: {} }, { clock })
    using remote = redisSwitches({ client, switches: features, clock })
    const set = settled(remote.set('ads', { level: 1 }))
    await clock.flush()
    client.asked[1]!.resolve(null)
    await clock.flush()
    expect(features.isOn('ads')).toBe(false)
    client.asked[0]!.resolve([])
    await clock.flush()
    client.asked[2]!.reject(new Error('down'))
    expect(await set).toBeUndefined()
    expect(features.isOn('ads')).toBe(false)
  })

  it('do not wait for a Redis that hangs, and look again', async () => {
    const clock = manualClock()
    const client = fakeClient()
    const features = switches({ ads: {} }, { clock })
    using remote = redisSwitches({ client, switches: features, pollMs: 100, timeoutMs: 300, clock })
    const set = settled(remote.set('ads', { level: 1 }))
    await clock.advance(300)
    expect(await set).toMatchObject({ message: 'redis-switches: Redis has not answered in 300 ms' })
    expect(features.isOn('ads')).toBe(true)
    await clock.advance(100)
    // It was set all the same: the look tells.
    client.asked[2]!.resolve(off())
    await clock.flush()
    expect(features.isOn('ads')).toBe(false)
  })

  it('are checked before anything is written', async () => {
    const client = fakeClient()
    using remote = redisSwitches({ client, switches: switches({ ads: {} }), clock: manualClock() })
    await expect(remote.set('ads', { level: 2 })).rejects.toThrow('Expected `level`')
    expect(client.asked).toHaveLength(1)
    expect(() => remote.update({ pollMs: 1 })).toThrow('Expected `pollMs` to be a number from 10 up, got 1')
    expect(() => redisSwitches({ client, switches: {} as never })).toThrow('Expected `switches.set`')
    remote.update({ pollMs: 50 })
    remote.reset()
    expect(remote.snapshot().pollMs).toBe(50)
  })
})
