import { describe, expect, test } from 'vitest'
import { adaptive } from './adaptive.ts'
import { type ShedCall, type ShedTask, shedCall } from './call.ts'

function watched(options: Parameters<typeof shedCall>[0] = {}): { call: ShedCall; told: string[] } {
  const told: string[] = []
  const task: ShedTask = {
    run: () => told.push('run'),
    refuse: (_call, refusal) => told.push(refusal),
    gone: false,
  }
  return { call: shedCall(options, task), told }
}

describe('when nothing is in the way', () => {
  test('a call begins at once', () => {
    const shedder = adaptive()
    const call = shedCall()
    expect(shedder.offer(call, 0)).toBe('run')
    expect(shedder.snapshot()).toMatchObject({ inFlight: 1, admitted: 1, queued: 0 })
    call.success(5)
    expect(shedder.snapshot().inFlight).toBe(0)
  })

  test('on a loop that has been busy it waits for the next poll', () => {
    const shedder = adaptive()
    expect(shedder.offer(shedCall(), 0, 6)).toBe('queued')
    expect(shedder.offer(shedCall(), 0, 0)).toBe('queued')
    expect(shedder.queued).toBe(2)
    shedder.tend(1)
    expect(shedder.next(1)).toBeDefined()
    expect(shedder.next(1)).toBeDefined()
    expect(shedder.next(1)).toBeUndefined()
  })
})

describe('cold start, pauses and jumps of the clock', () => {
  test('a thousand calls at the very first moment are not refused', () => {
    const shedder = adaptive()
    for (let i = 0; i < 1_000; i++) expect(['run', 'queued']).toContain(shedder.offer(shedCall(), 0, i / 50))
  })

  test('a clock that jumps by ten minutes, either way, refuses those who wait at most', () => {
    for (const jump of [600_000, -600_000]) {
      const shedder = adaptive()
      let now = 1_000_000
      for (let i = 0; i < 50; i++) shedder.offer(shedCall(), now, 10)
      now += jump
      for (let round = 0; round < 200; round++) {
        now += 5
        const call = shedCall()
        const verdict = shedder.offer(call, now, 10)
        expect(['run', 'queued']).toContain(verdict)
        shedder.tend(now)
        for (let next = shedder.next(now); next !== undefined; next = shedder.next(now)) next.success(now + 1)
      }
      expect(shedder.queued).toBe(0)
      expect(shedder.isOverloaded(now)).toBe(false)
      const refused = Object.values(shedder.snapshot().refused).reduce((a, b) => a + b)
      expect(refused).toBeLessThanOrEqual(50)
    }
  })
})

describe('who is turned away', () => {
  test('those that nobody waits for, and those whose time is up, are not begun', () => {
    const shedder = adaptive()
    const kept = watched()
    const late = watched({ deadline: 15 })
    let gone = false
    const left = shedCall(
      {},
      {
        run() {},
        refuse() {},
        get gone() {
          return gone
        },
      },
    )
    for (const call of [left, late.call, kept.call]) expect(shedder.offer(call, 0, 10)).toBe('queued')
    gone = true
    shedder.tend(20)
    expect(shedder.next(20)).toBe(kept.call)
    expect(late.told).toEqual(['late'])
    expect(shedder.snapshot().refused).toMatchObject({ gone: 1, late: 1 })
    expect(shedder.offer(shedCall({ deadline: 20 }), 20)).toBe('late')
  })

  test('those who have waited too long, however calm it is', () => {
    const shedder = adaptive({ burstWaitMs: 50, standingWaitMs: 10 })
    const { call, told } = watched()
    shedder.offer(call, 0, 10)
    shedder.tend(50)
    expect(told).toEqual([])
    shedder.tend(51)
    expect(told).toEqual(['expired'])
  })

  test('whoever comes when no more may wait', () => {
    const shedder = adaptive({ maxQueued: 3 })
    const verdicts = Array.from({ length: 5 }, () => shedder.offer(shedCall(), 0, 10))
    expect(verdicts).toEqual(['queued', 'queued', 'queued', 'full', 'full'])
  })

  test('where no more may wait, those that matter least make room for those that matter more', () => {
    const shedder = adaptive({ maxQueued: 3 })
    const waiting = [
      watched({ criticality: 'sheddable' }),
      watched({ criticality: 'sheddable-plus', attempt: 2 }),
      watched({ criticality: 'sheddable-plus' }),
    ]
    for (const { call } of waiting) expect(shedder.offer(call, 0, 10)).toBe('queued')
    expect(shedder.offer(shedCall({ criticality: 'sheddable' }), 1, 10)).toBe('full')
    for (let i = 0; i < 3; i++) expect(shedder.offer(shedCall(), 1, 10)).toBe('queued')
    expect(waiting.map(({ told }) => told)).toEqual([['full'], ['full'], ['full']])
    expect(shedder.offer(shedCall(), 1, 10)).toBe('full')
    expect(shedder.offer(shedCall({ criticality: 'critical-plus' }), 1, 10)).toBe('queued')
    expect(shedder.queued).toBe(3)
    expect(shedder.snapshot().refused.full).toBe(6)
  })

  test('an expensive call before many cheap ones', () => {
    const shedder = adaptive()
    for (const [route, ms] of [
      ['/cheap', 0.5],
      ['/dear', 20],
    ] as const) {
      const call = shedCall({ route })
      shedder.offer(call, 0)
      call.success(ms)
      shedder.learnCost(call, ms)
    }
    for (let i = 0; i < 120; i++) shedder.offer(shedCall({ route: '/cheap' }), 1, 10)
    expect(shedder.offer(shedCall({ route: '/dear' }), 1, 10)).toBe('wait')
    expect(shedder.offer(shedCall({ route: '/cheap' }), 1, 10)).toBe('queued')
  })

  test('not a call that is the only one, however expensive it is', () => {
    for (const ms of [20, 40, 80, 300]) {
      const shedder = adaptive()
      const learnt = shedCall({ route: '/report' })
      shedder.offer(learnt, 0)
      shedder.learnCost(learnt, ms)
      learnt.success(ms)
      // A light call has kept the loop for a moment, and another one waits.
      shedder.offer(shedCall({ route: '/cheap' }), 1_000, 6)
      expect(shedder.offer(shedCall({ route: '/report' }), 1_000, 6)).toBe('queued')
    }
  })
})

test('a class stops standing as soon as one that matters less is served more than its floor', () => {
  const shedder = adaptive({ minLimit: 1_000 })
  const batch = (now: number, critical: number): void => {
    for (let i = 0; i < critical; i++) shedder.offer(shedCall({ criticality: 'critical' }), now, 50)
    for (let i = 0; i < 20; i++) shedder.offer(shedCall({ criticality: 'sheddable' }), now, 50)
    shedder.tend(now)
    for (let i = 0; i < 3; i++) {
      const call = shedder.next(now + 2 * i)!
      shedder.learnCost(call, 2)
      call.success(now + 2 * i + 2)
    }
  }
  let now = 0
  for (; now < 900; now += 6) batch(now, 5)
  expect(shedder.snapshot().standing).toEqual([false, true, false, false])
  // There are always some that have just come when a batch begins.
  for (; now < 960; now += 6) batch(now, 1)
  expect(shedder.snapshot().standing[1]).toBe(false)
})

/** Calls of 2 ms at `load` times what fits, for `ms`; a batch runs every 6 ms. Returns what was served. */
function press(
  shedder: ReturnType<typeof adaptive>,
  from: number,
  ms: number,
  load: number,
  attempt = 1,
): number {
  let served = 0
  let due = 0
  for (let now = from; now < from + ms; now += 6) {
    for (due += 3 * load; due >= 1; due--) shedder.offer(shedCall({ attempt }, watched().call.task), now, 50)
    shedder.tend(now)
    for (let i = 0; i < 3; i++) {
      const call = shedder.next(now + 2 * i)
      if (call === undefined) break
      shedder.learnCost(call, 2)
      call.success(now + 2 * i + 2)
      served++
    }
  }
  return served
}

describe('a queue that stands', () => {
  test('is found out in a few tens of milliseconds, kept short, and served from the new end', () => {
    const shedder = adaptive()
    press(shedder, 0, 600, 0.5)
    expect(shedder.isOverloaded(600)).toBe(false)
    press(shedder, 600, 120, 4)
    expect(shedder.isOverloaded(720)).toBe(true)
    expect(shedder.snapshot().standing).toEqual([false, true, false, false])
    press(shedder, 720, 300, 4)
    expect(shedder.snapshot().queuedWorkMs).toBeLessThanOrEqual(22)
    expect(shedder.pressure(1_020)).toBeGreaterThan(0.8)
    const newest = shedCall()
    shedder.offer(newest, 1_021, 50)
    expect(shedder.next(1_022)).toBe(newest)
  })

  test('goes as soon as a call finds nothing in its way', () => {
    const shedder = adaptive()
    press(shedder, 0, 600, 0.5)
    press(shedder, 600, 300, 4)
    for (let now = 900; shedder.queued > 0; now += 2) shedder.next(now)?.success(now + 2)
    expect(shedder.offer(shedCall(), 1_000, 0)).toBe('run')
    expect(shedder.snapshot().standing).toEqual([false, false, false, false])
  })

  test('of a class that matters less leaves the ones above it alone', () => {
    const shedder = adaptive()
    for (let now = 0; now < 1_000; now += 6) {
      for (let i = 0; i < 12; i++) shedder.offer(shedCall({ criticality: 'sheddable' }), now, 50)
      shedder.offer(shedCall({ criticality: 'critical' }), now, 50)
      shedder.tend(now)
      for (let i = 0; i < 3; i++) {
        const call = shedder.next(now + 2 * i)
        if (call === undefined) break
        shedder.learnCost(call, 2)
        call.success(now + 2 * i + 2)
      }
    }
    expect(shedder.snapshot().standing).toEqual([false, false, false, true])
  })
})

test.each([600_000, -600_000])(
  'after a jump of the clock by %d ms an overload is found out as before',
  jump => {
    const shedder = adaptive()
    const start = 1_000_000
    press(shedder, start, 600, 0.5)
    press(shedder, start + jump, 300, 0.5)
    press(shedder, start + jump + 300, 200, 4)
    expect(shedder.isOverloaded(start + jump + 500)).toBe(true)
    expect(shedder.snapshot().queuedWorkMs).toBeLessThanOrEqual(22)
    // Nor does it last once it has gone, whatever the clock does.
    press(shedder, start, 500, 0.5)
    const { refused } = shedder.snapshot()
    press(shedder, start + 500, 1_000, 0.5)
    expect(shedder.snapshot().refused).toEqual(refused)
  },
)

describe('live settings', () => {
  test('switched off, those that wait are let go on and nobody else is seen', () => {
    const shedder = adaptive()
    const { call } = watched()
    shedder.offer(call, 0, 10)
    shedder.update({ mode: 'off' })
    expect(shedder.offer(shedCall(), 1, 10)).toBe('run')
    expect(shedder.hasRoom).toBe(true)
    expect(shedder.next(1)).toBe(call)
    expect(shedder.snapshot()).toMatchObject({ inFlight: 1, queued: 0 })
  })

  test('are checked, and changed together or not at all', () => {
    expect(() => adaptive({ burstWaitMs: 10 })).toThrow(
      'Expected `burstWaitMs` to be a number from 20 up, got 10',
    )
    expect(() => adaptive({ floorRatio: 0.5 })).toThrow('`floorRatio`')
    expect(() => adaptive({ queue: 5 } as object)).toThrow('adaptive has no option `queue`')
    const shedder = adaptive({ name: 'door' })
    expect(() => shedder.update({ mode: 'off', minLimit: 0 })).toThrow('`minLimit`')
    expect(shedder.snapshot()).toMatchObject({ mode: 'enforce', minLimit: 4 })
    shedder.update({ minLimit: 10, standingWaitMs: 5, maxQueued: 7 })
    expect(shedder.snapshot()).toMatchObject({ minLimit: 10, standingWaitMs: 5, maxQueued: 7 })
    expect(shedder).toMatchObject({ kind: 'adaptive', name: 'door' })
  })

  test('a reset forgets what was learnt', () => {
    const shedder = adaptive()
    press(shedder, 0, 2_000, 2)
    shedder.exempt()
    shedder.reset()
    expect(shedder.snapshot()).toMatchObject({
      admitted: 0,
      exempt: 0,
      limit: Infinity,
      limitReason: 'unknown',
      demand: 0,
      drainRate: 1,
      routes: {},
    })
  })
})

test('a queue whose calls have all gone is an empty one to the limit', () => {
  const shedder = adaptive()
  const { knee } = shedder as unknown as { knee: { limit: number; freeSince: number } }
  knee.limit = 1
  const first = shedCall()
  shedder.offer(first, 0)
  const gone = shedCall({}, { run() {}, refuse() {}, gone: true })
  expect(shedder.offer(gone, 1)).toBe('queued')
  expect(shedder.next(2)).toBeUndefined()
  first.ignore(3)
  expect(knee.freeSince).toBe(Infinity)
  expect(shedder.next(4)).toBeUndefined()
  expect(shedder.queued).toBe(0)
  expect(knee.freeSince).toBe(4)
})
