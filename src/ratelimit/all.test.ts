import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { all } from './all.ts'
import { concurrency } from './concurrency.ts'
import { fixedWindow } from './fixed-window.ts'
import { joinKey, keyedBy, keyParts } from './keyed-by.ts'
import { pacer } from './pacer.ts'
import { tokenBucket } from './token-bucket.ts'

describe('all', () => {
  it('names the limit that refuses for longest, or else the one with the least left', () => {
    const limiter = all(
      fixedWindow({ limit: 2, windowMs: 1000, name: 'short' }),
      fixedWindow({ limit: 2, windowMs: 60_000, name: 'long' }),
      fixedWindow({ limit: 5, windowMs: 1000, name: 'wide' }),
    )
    expect(limiter.take('a', 1, 0)).toMatchObject({ allowed: true, policy: 'short', remaining: 1, limit: 2 })
    limiter.take('a', 1, 0)
    expect(limiter.take('a', 1, 0)).toMatchObject({ allowed: false, policy: 'long', retryAfterMs: 60_000 })
    expect(limiter.take('a', 3, 0)).toMatchObject({ allowed: false, policy: 'long', retryAfterMs: Infinity })
    expect(limiter.take('b', 9, 0)).toMatchObject({ retryAfterMs: Infinity })
  })

  it('gives back and charges everywhere, and blocks', () => {
    const [a, b] = [
      fixedWindow({ limit: 5, windowMs: 1000, name: 'a' }),
      fixedWindow({ limit: 9, windowMs: 1000, name: 'b' }),
    ]
    const limiter = all(a, b)
    limiter.take('k', 3, 0)
    limiter.refund('k', 2, 0)
    limiter.charge('k', 1, 0)
    expect([a.peek('k', 1, 0).remaining, b.peek('k', 1, 0).remaining]).toEqual([3, 7])
    limiter.block('k', 500, 0)
    expect(limiter.take('k', 1, 0)).toMatchObject({ allowed: false, retryAfterMs: 500 })
    expect(limiter.snapshot()).toMatchObject({
      allowed: 1,
      denied: 1,
      limits: { a: { allowed: 1, denied: 0 } },
    })
    limiter.reset()
    expect(limiter.snapshot()).toMatchObject({ allowed: 0, denied: 0, limits: { a: { allowed: 0 } } })
    expect(limiter.policies().map(({ name }) => name)).toEqual(['a', 'b'])
    expect(() => limiter.update({ limit: 1 })).toThrow(/no option/)
  })

  it('releases the limits that hold', () => {
    const held = concurrency({ limit: 1 })
    const limiter = all(held, tokenBucket({ ratePerSecond: 1, burst: 5 }))
    expect(limiter.take('a', 1, 0).allowed).toBe(true)
    expect(limiter.take('a', 1, 0).allowed).toBe(false)
    limiter.release!('a', 1)
    expect(limiter.take('a', 1, 0).allowed).toBe(true)
    expect(all(tokenBucket({ ratePerSecond: 1 })).release).toBeUndefined()
  })

  it('refuses what cannot be told apart, or cannot be all or nothing', () => {
    const bucket = tokenBucket({ ratePerSecond: 1 })
    expect(() => all()).toThrow(/at least one/)
    expect(() => all(bucket, bucket)).toThrow(/different names/)
    expect(() =>
      all(
        bucket,
        keyedBy(bucket, () => ''),
      ),
    ).toThrow(/different names/)
    expect(() => all(pacer({ ratePerSecond: 1 }) as never)).toThrow(/at once/)
    expect(() => all(undefined as never)).toThrow(/at once/)
  })
})

describe('keyedBy', () => {
  it('counts under the other key in every way there is', () => {
    const inner = fixedWindow({ limit: 5, windowMs: 1000 })
    const limiter = keyedBy(inner, key => keyParts(key)[0]!)
    const [key, other] = [joinKey('acme/eu', 'ann'), joinKey('acme/eu', 'bob')]
    limiter.take(key, 2, 0)
    limiter.charge(other, 2, 0)
    limiter.refund(key, 1, 0)
    expect(inner.peek('acme/eu', 1, 0).remaining).toBe(2)
    expect(limiter.peek(other, 1, 0).remaining).toBe(2)
    limiter.block(key, 100, 0)
    expect(limiter.peek(other, 1, 0).allowed).toBe(false)
    limiter.update({ limit: 50 })
    expect(limiter.snapshot().settings).toMatchObject({ limit: 50 })
    limiter.reset()
    expect(limiter.peek(other, 1, 0).remaining).toBe(50)
    const held = keyedBy(concurrency({ limit: 1 }), () => 'one')
    held.take('a', 1, 0)
    held.release!('b', 1)
    expect(held.take('c', 1, 0).allowed).toBe(true)
  })
})

describe('joinKey', () => {
  it('is undone by keyParts, whatever the parts are', () => {
    const parts = fc.array(fc.oneof(fc.string(), fc.constantFrom('%', '/', '%2F', '%25', '')), {
      minLength: 1,
    })
    fc.assert(
      fc.property(parts, list => {
        expect(keyParts(joinKey(...list))).toEqual(list)
      }),
    )
  })
})
