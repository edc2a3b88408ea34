import { expect, test } from 'vitest'
import { defer } from '../internal/deferred.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { chain, gate, layer, taskRunner } from './chain.ts'
import { type OpenContext, openContext } from './context.ts'
import type { Gate, Outcome } from './gate.ts'
import type { Protection } from './handler.ts'
import { isRejection, Rejection } from './rejection.ts'
import type { Task, TaskEnd } from './task.ts'

class Work implements Task {
  readonly told: unknown[] = []
  readonly done = defer<void>()
  readonly onBegin: (() => void) | undefined
  end: TaskEnd | undefined

  constructor(onBegin?: () => void) {
    this.onBegin = onBegin
  }

  get work(): Promise<void> {
    return this.done.promise
  }

  begin(_context: unknown, end: TaskEnd): void {
    this.told.push('begin')
    this.end = end
    this.onBegin?.()
  }

  failed(error: unknown): void {
    this.told.push(isRejection(error) ? error.reason : error)
  }
}

function noted(name: string, log: string[], more: Partial<Gate> = {}): Protection {
  return gate({
    kind: 'other',
    name,
    admit: () => void log.push(`${name} in`),
    settle: (_ticket: unknown, outcome: Outcome) => void log.push(`${name} ${outcome}`),
    ...more,
  })
}

const log: string[] = []
const refusal = new Rejection({ reason: 'shed', policy: 'p', retry: 'elsewhere' })

function run(
  work: Work,
  middleware: Protection,
  opened: OpenContext = openContext({ clock: manualClock() }),
) {
  log.length = 0
  taskRunner(middleware)!(work, undefined, opened.context)
  return opened
}

test('a task goes through gates alone: not through layers, and not through gates that call again', () => {
  expect(taskRunner(chain())).toBeTypeOf('function')
  expect(taskRunner(chain(noted('a', log), chain(noted('b', log))))).toBeTypeOf('function')
  expect(
    taskRunner(
      chain(
        noted('a', log),
        layer({ kind: 'other', name: 'l' }, next => next),
      ),
    ),
  ).toBeUndefined()
  expect(taskRunner(noted('a', log, { rescue: () => undefined }))).toBeUndefined()
  expect(taskRunner(next => next)).toBeUndefined()
})

test('gates are admitted outermost first and settled innermost first, at once, as the task comes out', () => {
  for (const [how, outcome, told] of [
    [(end: TaskEnd) => end.succeeded(), 'success', []],
    [(end: TaskEnd) => end.failed('broken'), 'failure', ['broken']],
    [(end: TaskEnd) => end.failed(refusal), 'refused', ['shed']],
  ] as const) {
    const work = new Work()
    run(work, chain(noted('a', log), noted('b', log)))
    expect(log).toEqual(['a in', 'b in'])
    how(work.end!)
    work.end!.succeeded()
    work.end!.failed('again')
    expect(log.slice(2)).toEqual([`b ${outcome}`, `a ${outcome}`])
    expect(work.told).toEqual(['begin', ...told])
  }
})

test('a task that is refused, or that its context leaves no time, is told once and does not begin', () => {
  const refused = new Work()
  run(refused, chain(noted('a', log), noted('b', log, { admit: () => refusal })))
  expect(log).toEqual(['a in', 'a refused'])
  expect(refused.told).toEqual(['shed'])

  const opened = openContext({ clock: manualClock(), timeoutMs: 0 })
  const late = new Work()
  run(late, noted('a', log), opened)
  expect(late.told).toEqual(['deadline-exceeded'])

  const gone = openContext({ clock: manualClock() })
  gone.cancel('gone')
  const cancelled = new Work()
  run(cancelled, noted('a', log), gone)
  expect(cancelled.told).toEqual(['gone'])
  expect(log).toEqual([])
})

test('a gate that ends the call that it is asked about is told, and so is the task, once', () => {
  const opened = openContext({ clock: manualClock() })
  const work = new Work()
  const admit = (): void => opened.cancel('gone')
  run(work, chain(noted('a', log), noted('b', log, { admit }), noted('c', log)), opened)
  expect(log).toEqual(['a in', 'a cancelled', 'b cancelled'])
  expect(work.told).toEqual(['gone'])
})

test('a task that cannot begin has failed', () => {
  const work = new Work(() => {
    throw 'broken'
  })
  run(work, noted('a', log))
  expect(log).toEqual(['a in', 'a failure'])
  expect(work.told).toEqual(['begin', 'broken'])
})

test('the end of the context is the end of the call; gates that wait for the work hear of it when that is done', async () => {
  for (const inBegin of [true, false]) {
    const opened = openContext({ clock: manualClock() })
    const work = new Work(inBegin ? () => opened.cancel('gone') : undefined)
    run(work, chain(noted('a', log), noted('late', log, { until: 'work' })), opened)
    opened.cancel('gone')
    expect(work.told).toEqual(['begin', 'gone'])
    expect(log).toEqual(['a in', 'late in', 'a cancelled'])
    work.end!.succeeded()
    work.done.resolve()
    await work.work
    await Promise.resolve()
    expect(log.slice(3)).toEqual(['late cancelled'])
  }
})
