import { describe, expect, it, vi } from 'vitest'
import { openContext } from '../core/context.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { WaitingLine } from './waiting-line.ts'

function make() {
  const clock = manualClock()
  const owner = { ring: vi.fn(), onLeave: vi.fn() }
  return { clock, ...owner, line: new WaitingLine<string>(clock, owner) }
}

describe('WaitingLine', () => {
  it('serves in the order in which they came', async () => {
    const { line } = make()
    const waiting = [1, 2, 3].map(cost => line.join(cost, 0, undefined))
    expect([line.length, line.cost]).toEqual([3, 6])
    for (const name of ['first', 'second', 'third']) line.serve(name)
    expect(await Promise.all(waiting)).toEqual(['first', 'second', 'third'])
    expect([line.length, line.cost, line.first]).toEqual([0, 0, undefined])
    line.serve('nobody')
  })

  it('lets go of whoever’s call ends, wherever he stands', async () => {
    const { clock, line, onLeave } = make()
    const calls = [0, 1, 2, 3].map(() => openContext({ clock }))
    const waiting = calls.map(({ context }, i) => line.join(1, i, context).catch(error => error.reason))
    calls[1]!.cancel()
    calls[3]!.cancel()
    calls[0]!.cancel()
    expect(line.length).toBe(1)
    expect(line.first!.since).toBe(2)
    expect(onLeave).toHaveBeenCalledTimes(3)
    line.serve('served')
    expect(await Promise.all(waiting)).toEqual(['cancelled', 'cancelled', 'served', 'cancelled'])
    calls[2]!.cancel()
    expect(onLeave).toHaveBeenCalledTimes(3)
  })

  it('leaves nothing behind on the calls of those who were served', async () => {
    const { clock, line } = make()
    const { context } = openContext({ clock, timeoutMs: 1000 })
    const waiting = line.join(1, 0, context)
    expect(clock.armed).toBe(1)
    line.serve('served')
    await waiting
    expect(clock.armed).toBe(0)
  })

  it('has one alarm, and none when nobody waits', async () => {
    const { clock, line, ring } = make()
    void line.join(1, 0, undefined)
    void line.join(1, 0, undefined)
    line.wake(clock.now() + 100)
    line.wake(clock.now() + 50)
    expect(clock.armed).toBe(1)
    await clock.advance(50)
    expect(ring).toHaveBeenCalledTimes(1)
    line.wake(clock.now() + 50)
    line.serve('a')
    expect(clock.armed).toBe(1)
    line.serve('b')
    expect(clock.armed).toBe(0)
  })
})
