import { describe, expect, test } from 'vitest'
import { runnerLoop } from '../../test/support/overload.ts'
import { eventLoop } from '../testing/event-loop.ts'
import { adaptive } from './adaptive.ts'
import { type ShedCall, type ShedCallOptions, type ShedTask, shedCall } from './call.ts'
import { fixed } from './fixed.ts'
import { runnerOf } from './runner.ts'
import type { Shedder } from './shedder.ts'

const start = 1_000_000

function desk(shedder: Shedder = adaptive()) {
  const loop = eventLoop({ turnMs: 0 })
  const trace: string[] = []
  const runner = runnerOf(shedder, runnerLoop(loop))
  const note = (what: string) => trace.push(`${what} ${loop.now() - start}`)
  /** A call that keeps the loop for `ms` and is then over, unless `work` has other plans. */
  const submit = (
    name: string,
    ms: number,
    work?: (call: ShedCall) => void,
    options: ShedCallOptions = {},
  ): void => {
    const task: ShedTask = {
      run: call => {
        note(name)
        loop.burn(ms)
        if (work === undefined) call.success(loop.now())
        else work(call)
      },
      refuse: (_call, refusal) => note(`${name} ${refusal}`),
      gone: false,
    }
    runner.submit(shedCall(options, task))
  }
  return { loop, runner, trace, note, submit, shedder }
}

describe('when there is time', () => {
  test('a call runs where it comes, and no turn of the loop is added', () => {
    const { loop, trace, submit } = desk()
    let immediates = 0
    const { setImmediate } = loop
    loop.setImmediate = callback => {
      immediates++
      setImmediate.call(loop, callback)
    }
    for (let i = 0; i < 100; i++) loop.readable(start + 10 * i, () => submit(`${i}`, 2))
    loop.run(start + 2_000)
    expect(trace).toHaveLength(100)
    expect(trace[7]).toBe('7 70')
    expect(immediates).toBe(0)
  })
})

test('a batch that ends for want of calls has run dry: a queue that is cut short does not stay short', () => {
  const shedder = adaptive()
  const { loop, submit } = desk(shedder)
  // Reading takes nearly all of the time, as it does in code that runs for the first time.
  const read = (): void => {
    loop.burn(0.12)
    submit('', 0.5)
  }
  for (let i = 0; i < 8 * 1_000; i++) loop.readable(start + i / 8, read)
  loop.run(start + 400)
  const before = shedder.snapshot().admitted
  loop.run(start + 1_000)
  // The longer polls take, the longer are the batches between them.
  expect(shedder.snapshot().admitted - before).toBeGreaterThan(80)
})

test('of clients that ask again as soon as they are refused, so many that reading takes longer than calls may wait, more than a third of the time is for serving', () => {
  const shedder = adaptive()
  const loop = eventLoop({ startMs: start, turnMs: 0 })
  const runner = runnerOf(shedder, runnerLoop(loop))
  const ask = (): void => {
    loop.burn(0.03)
    runner.submit(shedCall({}, task))
  }
  const again = (): void => loop.readable(loop.now() + 0.2, ask)
  const task = {
    gone: false,
    run: (call: ShedCall) => {
      loop.burn(2)
      call.success(loop.now())
      again()
    },
    refuse: again,
  }
  for (let client = 0; client < 1_000; client++) loop.readable(start, ask)
  loop.run(start + 1_000)
  const before = shedder.snapshot().admitted
  loop.run(start + 3_000)
  expect((2 * (shedder.snapshot().admitted - before)) / 2_000).toBeGreaterThan(0.37)
})

test('when it fails to judge them, calls that wait are let through', () => {
  for (const step of ['tend', 'next'] as const) {
    const shedder = adaptive()
    const { loop, trace, submit } = desk(shedder)
    shedder[step] = () => {
      throw new Error(`no ${step}`)
    }
    for (let i = 0; i < 8; i++) loop.readable(start, () => submit(`${i}`, 2))
    loop.run(start + 100)
    expect(trace.map(line => line.split(' ')[0]).toSorted()).toEqual(['0', '1', '2', '3', '4', '5', '6', '7'])
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, queued: 0 })
  }
})

test('a call that throws in its turn does not keep those behind it from theirs', () => {
  const { loop, trace, submit, shedder } = desk()
  const { setImmediate } = loop
  const thrown: unknown[] = []
  // As in Node, where somebody may listen to uncaught exceptions, and the next immediate runs all the same.
  loop.setImmediate = callback => {
    setImmediate.call(loop, () => {
      try {
        callback()
      } catch (error) {
        thrown.push(error)
      }
    })
  }
  for (let i = 0; i < 8; i++) {
    loop.readable(start, () =>
      submit(`${i}`, 2, call => {
        call.ignore(loop.now())
        if (i === 4) throw new Error('thrown')
      }),
    )
  }
  loop.run(start + 100)
  expect(thrown).toEqual([new Error('thrown')])
  expect(trace).toHaveLength(8)
  expect(shedder.snapshot()).toMatchObject({ inFlight: 0, queued: 0 })
})

describe('calls that waited in vain', () => {
  const low = { criticality: 'sheddable' } as const

  test('are told all together: what can be read is read first, and the batch begins after that', () => {
    const { loop, trace, note, submit } = desk(adaptive({ maxQueued: 2 }))
    loop.readable(start, () => submit('first', 6))
    for (const name of ['0', '1']) loop.readable(start, () => submit(name, 2, undefined, low))
    for (const name of ['2', '3']) loop.readable(start, () => submit(name, 2))
    loop.readable(start, () => note('read'))
    loop.run(start + 100)
    expect(trace).toEqual(['first 0', 'read 6', '0 full 6', '1 full 6', '2 6', '3 8'])
  })

  test('are told thirty-two at a time where there are more', () => {
    const { loop, trace, note, submit } = desk(adaptive({ maxQueued: 40 }))
    loop.readable(start, () => submit('first', 6))
    for (let i = 0; i < 40; i++) loop.readable(start, () => submit('low', 0, undefined, low))
    for (let i = 0; i < 40; i++) loop.readable(start, () => submit('high', 0))
    loop.readable(start, () => note('read'))
    loop.run(start + 100)
    expect(trace.indexOf('read 6')).toBe(33)
    expect(trace.filter(line => line === 'low full 6')).toHaveLength(40)
    expect(trace.indexOf('high 6')).toBe(42)
  })

  test('are told in time of their own, not in that of the batch or of the call that comes next', () => {
    const shedder = adaptive({ maxQueued: 2 })
    const { loop, runner, trace, submit } = desk(shedder)
    loop.readable(start, () => submit('first', 6))
    for (let i = 0; i < 2; i++) {
      loop.readable(start, () =>
        runner.submit(shedCall(low, { run() {}, refuse: () => loop.burn(4), gone: false })),
      )
    }
    for (const name of ['0', '1']) loop.readable(start, () => submit(name, 2))
    loop.run(start + 100)
    expect(trace).toEqual(['first 0', '0 14', '1 16'])
    expect(shedder.snapshot().routes['']!.costMs).toBeLessThan(4)
  })

  test('are told at the end of the batch in which their turn has come', () => {
    const { loop, trace, submit } = desk()
    loop.readable(start, () => submit('first', 6))
    loop.readable(start, () => submit('0', 2))
    loop.readable(start, () => submit('1', 2, undefined, { deadline: start + 8 }))
    loop.readable(start, () => submit('2', 2))
    loop.run(start + 100)
    expect(trace).toEqual(['first 0', '0 6', '2 8', '1 late 10'])
  })

  test('are told as well when those that still wait cannot be judged', () => {
    const shedder = adaptive({ maxQueued: 1 })
    const { loop, trace, submit } = desk(shedder)
    shedder.tend = () => {
      throw new Error('no tend')
    }
    loop.readable(start, () => submit('first', 6))
    loop.readable(start, () => submit('0', 2, undefined, low))
    loop.readable(start, () => submit('1', 2))
    loop.run(start + 100)
    expect(trace).toEqual(['first 0', '0 full 6', '1 6'])
  })

  test('are let through when they cannot be told, which is no matter of the others', () => {
    const { loop, runner, trace, note, submit } = desk(adaptive({ maxQueued: 2 }))
    loop.readable(start, () => submit('first', 6))
    loop.readable(start, () => {
      const refuse = (): never => {
        throw new Error('no answer')
      }
      runner.submit(shedCall(low, { run: () => note('0'), refuse, gone: false }))
    })
    loop.readable(start, () => submit('1', 2, undefined, low))
    for (const name of ['2', '3']) loop.readable(start, () => submit(name, 2))
    loop.run(start + 100)
    expect(trace.toSorted()).toEqual(['0 10', '1 full 6', '2 6', '3 8', 'first 0'])
  })
})

describe('when there is not', () => {
  test.each([
    ['', 5, ['3 6', '4 8', '5 10', 'read 12', 'read 12', '6 12', '7 14']],
    [' in an overload,', 2.5, ['3 6', '4 8', 'read 10', '5 10', '6 12', 'read 14', '7 14']],
  ])('a batch of a few milliseconds runs%s between two polls, one call for each immediate', (_, ms, then) => {
    const shedder = adaptive()
    shedder.isOverloaded = () => ms < 5
    const { loop, trace, note, submit } = desk(shedder)
    for (let i = 0; i < 8; i++) loop.readable(start, () => submit(`${i}`, 2))
    loop.readable(start + 1, () => note('read'))
    loop.readable(start + 11, () => note('read'))
    loop.run(start + 100)
    // Three run where they come; the loop has then been busy for longer than 5 ms.
    expect(trace.slice(0, 3)).toEqual(['0 0', '1 2', '2 4'])
    // Each batch ends with the call that fills it.
    expect(trace.slice(3)).toEqual(then)
  })

  test('what a handler does on its ticks counts as its own, for the batch and for its cost', () => {
    const { loop, trace, submit, shedder } = desk()
    loop.readable(start, () => loop.burn(6))
    for (let i = 0; i < 8; i++) {
      loop.readable(start, () => {
        submit(`${i}`, 0, call => {
          loop.nextTick(() => {
            loop.burn(3)
            call.success(loop.now())
          })
        })
      })
    }
    loop.run(start + 100)
    // What the loop did first shows only once a request has been read.
    expect(trace.slice(-3)).toEqual(['5 21', '6 24', '7 27'])
    const { routes } = (shedder as ReturnType<typeof adaptive>).snapshot()
    expect(routes['']!.costMs).toBeCloseTo(3)
  })

  test('a handler that throws takes nobody else with it', () => {
    const { loop, trace, submit, shedder } = desk()
    loop.readable(start, () => submit('first', 6))
    for (let i = 0; i < 3; i++) {
      loop.readable(start, () => {
        submit(`${i}`, 1, call => {
          call.ignore(loop.now())
          if (i === 1) throw new Error('broken')
        })
      })
    }
    // A process that listens for uncaught exceptions goes on with the next immediate.
    let thrown = 0
    const { setImmediate } = loop
    loop.setImmediate = callback => {
      setImmediate.call(loop, () => {
        try {
          callback()
        } catch {
          thrown++
        }
      })
    }
    loop.run(start + 100)
    expect(thrown).toBe(1)
    expect(trace).toEqual(['first 0', '0 6', '1 7', '2 8'])
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, queued: 0 })
  })

  test('waiting for room: a call that ends lets the next one begin, and nobody waits for ever', () => {
    const shedder = adaptive()
    const { loop, trace, submit } = desk(shedder)
    const open: ShedCall[] = []
    // The limit that a dependency of four places, 100 ms each, teaches.
    ;(shedder as unknown as { knee: { limit: number } }).knee.limit = 4
    for (let i = 0; i < 6; i++) loop.readable(start, () => submit(`${i}`, 0, call => open.push(call)))
    // Between two looks at those that wait, which come every 5 ms.
    loop.setTimeout(() => open.shift()!.success(loop.now()), 22)
    loop.run(start + 500)
    expect(trace).toEqual(['0 0', '1 0', '2 0', '3 0', '4 22', expect.stringMatching(/^5 expired 10\d/)])
  })
})

describe('new connections', () => {
  /**
   * Twenty requests on connections of their own, all there from the start, while a long call has the loop. When each
   * of them was read.
   */
  function churn(told: boolean): number[] {
    const { loop, runner, trace, submit } = desk()
    const seen: number[] = []
    loop.readable(start, () => submit('long', 8))
    for (let i = 0; i < 20; i++) {
      loop.connect(start, () => {
        if (told) runner.connected()
        loop.readable(loop.now(), () => {
          seen.push(loop.now() - start)
          submit(`${i}`, 2)
        })
      })
    }
    loop.run(start + 500)
    expect(trace).toHaveLength(21)
    return seen
  }

  test('are taken in before handlers have the loop again', () => {
    const seen = churn(true)
    expect(seen).toHaveLength(20)
    expect(Math.max(...seen)).toBe(8)
  })

  test('without that the last of them would have waited for handlers before it, where nobody sees it', () => {
    const seen = churn(false)
    expect(seen).toHaveLength(20)
    expect(Math.max(...seen)).toBeGreaterThan(30)
  })

  test('do not keep handlers from running for ever', () => {
    const { loop, runner, trace, submit } = desk()
    loop.readable(start, () => submit('long', 8))
    loop.readable(start, () => submit('waits', 2))
    const flood = (): void => {
      runner.connected()
      loop.burn(0.1)
      loop.connect(loop.now(), flood)
    }
    loop.connect(start, flood)
    loop.run(start + 200)
    expect(trace).toHaveLength(2)
    expect(Number(trace[1]!.split(' ')[1])).toBeLessThan(40)
  })
})

test('a handler that keeps the loop is no stall; whatever else keeps it while calls are in flight is', () => {
  const { loop, submit, shedder } = desk()
  const stalls: number[] = []
  ;(shedder as ReturnType<typeof adaptive>).stalled = now => stalls.push(now - start)
  loop.readable(start, () => submit('long', 50))
  loop.readable(start + 100, () => submit('long', 50))
  // Its own 50 ms, in a batch.
  loop.readable(start + 100, () => submit('next', 50))
  loop.readable(start + 400, () =>
    submit('waits', 0, call => loop.setTimeout(() => call.success(loop.now()), 20)),
  )
  loop.readable(start + 405, () => loop.burn(60))
  loop.run(start + 600)
  expect(stalls).toEqual([465])
})

test('shedders without a queue are asked and obeyed', () => {
  const { loop, trace, submit } = desk(fixed({ limit: 2 }))
  for (let i = 0; i < 3; i++) submit(`${i}`, 0, () => {})
  loop.run(start + 10)
  expect(trace).toEqual(['0 0', '1 0', '2 limit 0'])
})

test('there is one runner for a shedder, whoever asks', () => {
  const shedder = adaptive()
  expect(runnerOf(shedder)).toBe(runnerOf(shedder))
  expect(runnerOf(adaptive())).not.toBe(runnerOf(shedder))
})

test('runs on the real loop', async () => {
  const shedder = adaptive()
  const runner = runnerOf(shedder)
  let ran = 0
  let told = 0
  await new Promise<void>(resolve => {
    const tell = (): void => {
      if (++told === 30) resolve()
    }
    for (let i = 0; i < 30; i++) {
      const task: ShedTask = {
        run: call => {
          const until = performance.now() + 1
          while (performance.now() < until);
          ran++
          call.success(performance.now())
          tell()
        },
        // On a machine that is busy with other things some may have waited too long.
        refuse: tell,
        gone: false,
      }
      runner.submit(shedCall({}, task))
    }
  })
  expect(ran).toBeGreaterThan(4)
  expect(shedder.snapshot()).toMatchObject({ inFlight: 0, queued: 0, admitted: ran })
})
