/** What needs no server; test/integration has the rest. */
import { describe, expect, it } from 'vitest'
import { redisStore } from './redis-store.ts'

/** A client that notes what it is asked, and answers what it is told to. */
function fakeClient(answer: unknown = null, status?: string) {
  const asked: unknown[][] = []
  return {
    asked,
    ...(status === undefined ? {} : { status }),
    evalsha: async (...args: unknown[]) => {
      asked.push(args)
      return answer
    },
    eval: async () => answer,
  }
}

const life = { tookMs: 5, freshMs: 10, keepMs: 100 }

describe('redisStore', () => {
  it('asks for one key in one round trip', async () => {
    const client = fakeClient(1)
    const store = redisStore({ client, prefix: 'p:', rememberMs: 7 })
    await store.set('a', { value: 1 }, life)
    expect(client.asked.map(([, ...rest]) => rest)).toEqual([[1, 'p:a', '{"value":1}', 5, 10, 100, 7]])
    await store.delete('a')
    expect(client.asked).toHaveLength(2)
  })

  it('encodes and decodes as it is told to', async () => {
    const client = fakeClient(['<7>', '3.5', '10'])
    const store = redisStore({
      client,
      encode: kept => `<${(kept as { value: number }).value}>`,
      decode: text => ({ value: Number(text.slice(1, -1)) }),
    })
    await store.set('a', { value: 7 }, life)
    expect(client.asked[0]).toContain('<7>')
    expect(await store.get('a')).toEqual({ kept: { value: 7 }, ageMs: 3.5, freshMs: 10 })
  })

  it('fails at once instead of leaving commands with a client that is not connected', async () => {
    for (const status of ['reconnecting', 'close', 'end']) {
      const client = fakeClient(null, status)
      const store = redisStore({ client })
      await expect(store.get('a')).rejects.toThrow(`redis-store: the client is not connected (${status})`)
      await expect(store.set('a', { value: 1 }, life)).rejects.toThrow('not connected')
      expect(client.asked).toHaveLength(0)
    }
    expect(await redisStore({ client: fakeClient(null, 'wait') }).get('a')).toBeUndefined()
  })

  it('takes nothing that is not a copy for one', async () => {
    for (const text of ['', 'null', '7', '{', '[']) {
      const store = redisStore({ client: fakeClient([text, '1', '1']) })
      expect(await store.get('a')).toBeUndefined()
      expect(store.snapshot()).toMatchObject({ garbled: 1, misses: 1, hits: 0 })
      store.reset()
      expect(store.snapshot().garbled).toBe(0)
    }
  })

  it('does not keep what has no text, and says nothing against Redis for it', async () => {
    const circle: { self?: unknown } = {}
    circle.self = circle
    const client = fakeClient()
    const store = redisStore({ client })
    for (const value of [circle, 7n]) await store.set('a', { value }, life)
    await redisStore({ client, encode: () => undefined as never }).set('a', { value: 1 }, life)
    expect(client.asked).toHaveLength(0)
    expect(store.snapshot()).toMatchObject({ garbled: 2, writes: 0 })
  })

  it('checks its options, all or none', () => {
    const client = fakeClient()
    expect(() => redisStore({} as never)).toThrow('Expected `client.evalsha` to be a function')
    expect(() => redisStore({ client, maxLength: 0 })).toThrow('Expected `maxLength`')
    const store = redisStore({ client })
    expect(() => store.update({ maxLength: 5, rememberMs: 0 })).toThrow('Expected `rememberMs`')
    expect(store.snapshot()).toMatchObject({ maxLength: 1_000_000, rememberMs: 60_000 })
    store.update({ maxLength: 5 })
    expect(store.snapshot().maxLength).toBe(5)
  })
})
