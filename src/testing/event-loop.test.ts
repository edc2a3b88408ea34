import { describe, expect, test } from 'vitest'
import { eventLoop, type LoopSource } from './event-loop.ts'

const start = 1_000_000

function traced() {
  const loop = eventLoop({ turnMs: 0 })
  const trace: string[] = []
  const note = (what: string) => () => {
    trace.push(`${what} ${loop.now() - start}`)
  }
  return { loop, trace, note }
}

describe('the order of things', () => {
  test('poll, then immediates, then timers; ticks after each callback', () => {
    const { loop, trace, note } = traced()
    loop.setTimeout(note('timer'), 1)
    loop.readable(start + 1, () => {
      note('read')()
      loop.setImmediate(note('immediate'))
      loop.nextTick(note('tick'))
    })
    loop.readable(start + 1, note('read too'))
    loop.run(start + 10)
    expect(trace).toEqual(['read 1', 'tick 1', 'read too 1', 'immediate 1', 'timer 1'])
  })

  test('an immediate of an immediate runs after the next poll', () => {
    const { loop, trace, note } = traced()
    loop.setImmediate(() => {
      note('first')()
      loop.setImmediate(note('second'))
      loop.readable(loop.now(), note('read'))
    })
    loop.run(start + 1)
    expect(trace).toEqual(['first 0', 'read 0', 'second 0'])
  })

  test('a tick of a tick runs before anything else', () => {
    const { loop, trace, note } = traced()
    loop.readable(start, () => loop.nextTick(() => loop.nextTick(note('inner'))))
    loop.readable(start, note('read'))
    loop.run(start + 1)
    expect(trace).toEqual(['inner 0', 'read 0'])
  })

  test('one connection is accepted in each turn, however many wait', () => {
    const { loop, trace, note } = traced()
    for (let i = 0; i < 3; i++) loop.connect(start, note(`connection ${i}`))
    loop.readable(start, note('read'))
    loop.run(start + 1)
    expect(trace).toEqual(['connection 0 0', 'read 0', 'connection 1 0', 'connection 2 0'])
  })

  test('more than a thousand that are ready are all read in one poll', () => {
    const { loop, trace, note } = traced()
    for (let i = 0; i < 2_000; i++) loop.readable(start, note('read'))
    loop.setImmediate(note('immediate'))
    loop.run(start + 1)
    expect(trace.indexOf('immediate 0')).toBe(2_000)
  })
})

describe('time', () => {
  test('moves by what callbacks burn, and otherwise by waiting, which is idle time', () => {
    const { loop, trace, note } = traced()
    loop.readable(start + 10, () => loop.burn(5))
    loop.readable(start + 12, note('late'))
    loop.run(start + 20)
    expect(trace).toEqual(['late 15'])
    expect(loop.now() - start).toBe(20)
    expect(loop.idleMs()).toBe(10)
  })

  test('a timer never rings early, and not once it is cancelled', () => {
    const { loop, trace, note } = traced()
    loop.setTimeout(note('kept'), 2.5)
    const cancel = loop.setTimeout(note('cancelled'), 1)
    cancel()
    loop.run(start + 10)
    expect(trace).toEqual(['kept 3'])
  })

  test('its clock arms and disarms alarms', () => {
    const { loop, trace, note } = traced()
    const alarm = (ring: () => void) => ({
      at: 0,
      keepAlive: false,
      next: undefined,
      previous: undefined,
      ring,
    })
    const one = alarm(note('one'))
    const other = alarm(note('other'))
    loop.clock.arm(one, start + 5)
    loop.clock.arm(other, start + 5)
    loop.clock.arm(one, start + 7)
    loop.clock.disarm(other)
    loop.run(start + 20)
    expect(trace).toEqual(['one 7'])
    expect(loop.clock.now()).toBe(start + 20)
  })

  test('a turn costs something', () => {
    const loop = eventLoop({ turnMs: 0.5, startMs: 0 })
    let turns = 0
    const again = (): void => {
      turns++
      loop.setImmediate(again)
    }
    loop.setImmediate(again)
    loop.run(10)
    expect(turns).toBe(20)
  })

  test('a source is asked for what it has sent before each poll', () => {
    const { loop, trace, note } = traced()
    const times = [start + 1, start + 2, start + 6]
    const source: LoopSource = {
      nextAt: () => times[0] ?? Infinity,
      send(now) {
        while (times.length > 0 && times[0]! <= now) loop.readable(times.shift()!, note('sent'))
      },
    }
    loop.feed(source)
    loop.readable(start, () => loop.burn(4))
    loop.run(start + 10)
    expect(trace).toEqual(['sent 4', 'sent 4', 'sent 6'])
  })
})
