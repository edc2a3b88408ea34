import type { Redis } from 'ioredis'
import { expect, test } from 'vitest'
import { ownRedis } from '../../../test/support/own-redis.ts'
import { setTime, TEST_TIME } from '../../../test/support/redis-time.ts'
import { fairScript } from './fair-script.ts'

const script = fairScript(TEST_TIME)
const SECOND = 1_000_000
const WHOLE = 1_000_000
let client: Redis
let tests = 0

ownRedis(started => {
  client = started
})

/** One key's members, who ask by hand; a lease of a second, a burst that fills in a second. */
class Members {
  private readonly keys = [`shares-${++tests}`, `block-${tests}`]
  private now = 80_000_000 * SECOND
  private sequence = 0

  async ask(id: string, has: number, asks: number, options: { seq?: number; intent?: string } = {}) {
    const { seq = ++this.sequence, intent = 'stay' } = options
    await setTime(client, this.now)
    const args = [id, seq, has, asks, WHOLE / 4, SECOND, SECOND, `1,2,3,4 1`, intent]
    const [share, blocked, tokens, ...others] = (await script.run(client, this.keys, args)) as number[]
    return { share, blocked, tokens, others }
  }

  pass(seconds: number): void {
    this.now += seconds * SECOND
  }

  /** The shares of `a` and `b` after the first lease, in which nobody gets more than a safe share. */
  async learnt(): Promise<void> {
    await this.ask('a', 0, WHOLE)
    this.pass(0.9)
    await this.ask('a', WHOLE / 4, WHOLE)
    this.pass(0.2)
  }
}

test('a hash that is new hands out safe shares, and what members say that they have, for one lease', async () => {
  const members = new Members()
  expect(await members.ask('a', 0, WHOLE)).toMatchObject({ share: 250_000 })
  expect(await members.ask('b', 600_000, WHOLE)).toMatchObject({ share: 600_000 })
  expect(await members.ask('c', 0, WHOLE)).toMatchObject({ share: 150_000 })
  expect(await members.ask('d', 0, WHOLE)).toMatchObject({ share: 0 })
})

test('a member that gets less counts with what it has until it reports the less', async () => {
  const members = new Members()
  await members.learnt()
  expect(await members.ask('a', 250_000, WHOLE)).toMatchObject({ share: WHOLE })
  expect(await members.ask('a', WHOLE, 400_000)).toMatchObject({ share: 400_000 })
  expect(await members.ask('b', 0, WHOLE)).toMatchObject({ share: 0 })
  await members.ask('a', 400_000, 400_000)
  expect(await members.ask('b', 0, WHOLE)).toMatchObject({ share: 600_000, others: ['1,2,3,4 1'] })
})

test('a crashed member is counted until its lease is over', async () => {
  const members = new Members()
  await members.learnt()
  await members.ask('a', 250_000, 800_000)
  members.pass(0.999)
  expect(await members.ask('b', 0, WHOLE)).toMatchObject({ share: 200_000 })
  members.pass(0.002)
  expect(await members.ask('b', 200_000, WHOLE)).toMatchObject({ share: WHOLE, others: [] })
})

test('a message that was overtaken changes nothing, not even the last one of a member that left and came back', async () => {
  const members = new Members()
  await members.learnt()
  expect(await members.ask('a', 250_000, 800_000, { seq: 100 })).toMatchObject({ share: 800_000 })
  expect((await members.ask('a', 250_000, 100, { seq: 99 })).share).toBe(-1)
  expect((await members.ask('a', 0, 0, { seq: 98, intent: 'leave' })).share).toBe(-1)
  expect(await members.ask('b', 0, WHOLE)).toMatchObject({ share: 200_000 })
  await members.ask('a', 0, 0, { seq: 101, intent: 'leave' })
  expect(await members.ask('b', 200_000, WHOLE)).toMatchObject({ share: WHOLE })
})

test('no part of a burst is handed out twice', async () => {
  const members = new Members()
  const first = await members.ask('a', 0, WHOLE)
  expect(first.tokens).toBe(250_000)
  members.pass(0.9)
  await members.ask('a', 250_000, WHOLE)
  members.pass(0.2)
  // All that was never held has come with the rest of the shares.
  expect((await members.ask('a', 250_000, WHOLE)).tokens).toBe(750_000)
  await members.ask('a', WHOLE, 500_000)
  await members.ask('a', 500_000, 500_000)
  // The half that a gave up it may have spent: nothing comes with it, but what has filled since then.
  expect(await members.ask('b', 0, 100_000)).toMatchObject({ share: 100_000, tokens: 0 })
  members.pass(0.5)
  expect(await members.ask('b', 100_000, 500_000)).toMatchObject({ share: 500_000, tokens: 200_000 })
})

test('a clock that went back keeps nobody for longer than a lease', async () => {
  const members = new Members()
  await members.learnt()
  await members.ask('a', 250_000, WHOLE)
  members.pass(-3_600)
  expect(await members.ask('b', 0, WHOLE)).toMatchObject({ share: 0 })
  members.pass(1.1)
  expect(await members.ask('b', 0, WHOLE)).toMatchObject({ share: WHOLE })
})
