import { describe, expect, it } from 'vitest'
import { createContext, openContext } from '../core/context.ts'
import { workBehind } from '../core/work.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { defer } from './deferred.ts'
import { attempt, settleBefore, settleWithin } from './settle-within.ts'

const settled = (promise: Promise<unknown>) =>
  promise.then(
    value => value,
    error => error,
  )

describe('settleWithin', () => {
  it('is what the work comes to, and leaves nothing behind', async () => {
    const clock = manualClock()
    const { context, close } = openContext({ clock, timeoutMs: 10 })
    const error = new Error('failed')
    expect(await settleWithin(context, Promise.resolve(1))).toBe(1)
    expect(await settled(settleWithin(context, Promise.reject(error)))).toBe(error)
    close()
    expect(clock.armed).toBe(0)
  })

  it('is what ended the call, if that comes first, and the work can be found behind it', async () => {
    const clock = manualClock()
    const work = defer<number>()
    const answer = settleWithin(createContext({ clock, timeoutMs: 10 }), work.promise)
    const got = settled(answer)
    await clock.advance(10)
    expect(await got).toMatchObject({ reason: 'deadline-exceeded' })
    expect(workBehind(answer)).toBe(work.promise)
    work.reject(new Error('nobody waits for this, and nothing is said of it'))
    await clock.flush()
    expect(clock.armed).toBe(0)
  })

  it('does not wait for a call that has ended already', async () => {
    const { context, cancel } = openContext()
    cancel('before')
    const work = defer<number>()
    const answer = settleWithin(context, work.promise)
    expect(await settled(answer)).toBe('before')
    expect(workBehind(answer)).toBe(work.promise)
    work.resolve(1)
  })
})

describe('settleBefore', () => {
  const late = () => new Error('too late')

  it('is what the work comes to, and leaves no timer behind', async () => {
    const clock = manualClock()
    const error = new Error('failed')
    expect(await settleBefore(clock, 10, Promise.resolve(1), late)).toBe(1)
    expect(await settled(settleBefore(clock, 10, Promise.reject(error), late))).toBe(error)
    expect(clock.armed).toBe(0)
  })

  it('fails when the work takes longer, whatever becomes of that', async () => {
    const clock = manualClock()
    const work = defer<number>()
    const got = settled(settleBefore(clock, 10, work.promise, late))
    await clock.advance(10)
    expect(await got).toMatchObject({ message: 'too late' })
    work.reject(new Error('nobody waits for this, and nothing is said of it'))
    await clock.flush()
    expect(clock.armed).toBe(0)
  })
})

describe('attempt', () => {
  it('turns a throw into a rejection, and a value into an answer', async () => {
    const error = new Error('at once')
    const throws = () => {
      throw error
    }
    expect(await settled(attempt(throws))).toBe(error)
    expect(await attempt(() => 1)).toBe(1)
  })
})
