import { afterEach, describe, expect, it } from 'vitest'
import { createContext, openContext } from '../core/context.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { type Workers, type WorkersOptions, workers } from './workers.ts'

const module = new URL('../../test/support/worker-handlers.mjs', import.meta.url)
const open: Workers<never, unknown>[] = []

function pool<Req, Res>(handler: string, options: Partial<WorkersOptions> = {}): Workers<Req, Res> {
  const made = workers<Req, Res>({ module, handler, size: 1, ...options })
  open.push(made as Workers<never, unknown>)
  return made
}

const settled = (promise: Promise<unknown>) =>
  promise.then(
    value => value,
    error => error,
  )

afterEach(async () => {
  await Promise.all(open.splice(0).map(made => made.close(0)))
})

describe('workers', () => {
  it('run a handler in another thread, and use the same thread again', async () => {
    const squares = pool<number, number>('default')
    expect(await squares.run(7)).toBe(49)
    const where = pool<undefined, number>('where')
    const first = await where.run(undefined)
    expect(first).not.toBe(0)
    expect(await where.run(undefined)).toBe(first)
    expect(where.snapshot()).toMatchObject({ threads: 1, active: 0, admitted: 2 })
  })

  it('tell the handler what is known of the call', async () => {
    const told = pool<undefined, object>('told')
    const context = createContext({ tenant: 'blue', caller: 'shop', timeoutMs: 60_000 })
    const heard = (await told.run(undefined, context)) as { remainingMs: number }
    expect(heard).toMatchObject({ tenant: 'blue', caller: 'shop' })
    expect(heard.remainingMs).toBeGreaterThan(0)
    expect(heard.remainingMs).toBeLessThanOrEqual(60_000)
  })

  it('queue calls that find no thread, and refuse those that find no place in line', async () => {
    const busy = pool<{ ms: number }, number>('busy', { queue: 1 })
    const answers = [busy.run({ ms: 20 }), busy.run({ ms: 1 }), settled(busy.run({ ms: 1 }))]
    expect(busy.snapshot()).toMatchObject({ active: 1, waiting: 1, threads: 1 })
    const [first, second, third] = await Promise.all(answers)
    expect(first).toBe(second)
    expect(third).toMatchObject({ reason: 'bulkhead-full', policy: 'workers' })
  })

  it('leave the event loop free', async () => {
    const busy = pool<{ ms: number }, number>('busy')
    let turns = 0
    const ticking = setInterval(() => turns++, 1)
    await busy.run({ ms: 100 })
    clearInterval(ticking)
    expect(turns).toBeGreaterThan(5)
  })

  it('bring errors over with their name, message, stack and code', async () => {
    const failing = pool<string, unknown>('fail')
    const error = (await settled(failing.run('coded'))) as Error & { code: string; status: number }
    expect(error).toBeInstanceOf(Error)
    expect(error).toMatchObject({ name: 'RangeError', message: 'too far', code: 'E_FAR', status: 422 })
    expect(error.stack).toContain('worker-handlers.mjs')
    expect(await settled(failing.run('string'))).toBe('just text')
    expect(await settled(failing.run('uncloneable'))).toMatchObject({ name: 'DataCloneError' })
    expect(await settled(failing.run((() => 'a function') as never))).toMatchObject({
      name: 'DataCloneError',
    })
    expect(failing.snapshot()).toMatchObject({ active: 0, threads: 1, crashed: 0 })
  })

  for (const [how, cause] of [
    ['exit', undefined],
    ['later', 'in the background'],
    ['memory', 'memory limit'],
  ] as const) {
    it(`fail the call whose thread ends by itself (${how}), and nothing after it`, async () => {
      const failing = pool<string, number>('fail', { resourceLimits: { maxOldGenerationSizeMb: 32 } })
      const before = await failing.run('')
      const error = (await settled(failing.run(how))) as Error
      expect(error).toMatchObject({ code: 'ERR_WORKER_THREAD_ENDED' })
      expect(error.message).toContain('workers: the worker thread ended by itself')
      if (cause !== undefined) expect((error.cause as Error).message).toContain(cause)
      expect(await failing.run('')).not.toBe(before)
      expect(failing.snapshot()).toMatchObject({ crashed: 1, threads: 1, active: 0 })
    })
  }

  it('take nothing that other code in the thread posts for an answer, and do not fall over it', async () => {
    const chatty = pool<undefined, string>('chatty')
    expect(await chatty.run(undefined)).toBe('right')
    expect(await chatty.run(undefined)).toBe('right')
    expect(chatty.snapshot()).toMatchObject({ threads: 1, crashed: 0, active: 0 })
  })

  it('say what is wrong when the module or its handler cannot be had', async () => {
    const nothing = pool('nothing')
    expect(((await settled(nothing.run())) as Error).cause).toMatchObject({ name: 'TypeError' })
    const missing = workers({ module: new URL('./missing.mjs', import.meta.url), size: 1 })
    expect(((await settled(missing.run())) as Error).cause).toMatchObject({ code: 'ERR_MODULE_NOT_FOUND' })
    expect(() => workers({ module: './relative.mjs' })).toThrow(
      'Expected `module` to be a URL or an absolute path',
    )
  })
})

describe('a call of workers that nobody waits for any more', () => {
  it('is stopped by its signal where the handler listens, and the thread stays', async () => {
    const polite = pool<{ ms: number }, string>('polite', { graceMs: 60_000 })
    await polite.run({ ms: 0 })
    const { context, cancel } = openContext()
    const answer = settled(polite.run({ ms: 60_000 }, context))
    cancel('gone')
    expect(await answer).toBe('gone')
    expect(await polite.run({ ms: 0 })).toBe('finished')
    expect(polite.snapshot()).toMatchObject({ threads: 1, terminated: 0, crashed: 0 })
  })

  it('has its thread terminated and replaced where it does not listen, and its place is free only then', async () => {
    const clock = manualClock()
    const busy = pool<{ ms: number }, number>('busy', { graceMs: 20 })
    const before = await busy.run({ ms: 0 })
    const answer = settled(busy.run({ ms: 1e9 }, createContext({ clock, timeoutMs: 30 })))
    await clock.advance(30)
    expect(await answer).toMatchObject({ reason: 'deadline-exceeded' })
    const next = busy.run({ ms: 0 })
    expect(busy.snapshot()).toMatchObject({ active: 1, waiting: 1 })
    await clock.advance(20)
    expect(await next).not.toBe(before)
    expect(busy.snapshot()).toMatchObject({ active: 0, waiting: 0, terminated: 1, crashed: 0, threads: 1 })
    expect(clock.armed).toBe(0)
  })

  it('is terminated at once without any grace', async () => {
    const clock = manualClock()
    const busy = pool<{ ms: number }, number>('busy', { graceMs: 0 })
    const answer = settled(busy.run({ ms: 1e9 }, createContext({ clock, timeoutMs: 5 })))
    await clock.advance(5)
    expect(await answer).toMatchObject({ reason: 'deadline-exceeded' })
    expect(await busy.run({ ms: 0 })).toBeTypeOf('number')
    expect(busy.snapshot().terminated).toBe(1)
  })
})

describe('closing workers', () => {
  it('lets calls that run or wait finish, refuses new ones and ends the threads', async () => {
    const busy = pool<{ ms: number }, number>('busy')
    const answers = [busy.run({ ms: 30 }), busy.run({ ms: 1 })]
    const closed = busy.close()
    expect(await settled(busy.run({ ms: 1 }))).toMatchObject({ reason: 'bulkhead-full', retry: 'elsewhere' })
    const [first, second] = await Promise.all(answers)
    expect(first).toBe(second)
    await closed
    expect(busy.snapshot()).toMatchObject({ threads: 0, active: 0, waiting: 0 })
    await busy.close()
  })

  it('ends what is not done when the time for it is over', async () => {
    const clock = manualClock()
    const busy = pool<{ ms: number }, number>('busy', { clock })
    const answers = [settled(busy.run({ ms: 1e9 })), settled(busy.run({ ms: 1e9 }))]
    const closed = busy.close(100)
    await clock.advance(100)
    await closed
    const [running, waiting] = await Promise.all(answers)
    expect(running).toMatchObject({ code: 'ERR_WORKER_THREAD_ENDED' })
    expect(waiting).toMatchObject({ reason: 'bulkhead-full' })
    expect(busy.snapshot()).toMatchObject({ threads: 0, active: 0, waiting: 0, crashed: 0 })
    expect(clock.armed).toBe(0)
  })
})

describe('changing workers', () => {
  it('ends threads that are too many, and starts more when there may be more', async () => {
    const busy = pool<{ ms: number }, number>('busy', { size: 2 })
    await Promise.all([busy.run({ ms: 5 }), busy.run({ ms: 5 })])
    expect(busy.snapshot().threads).toBe(2)
    busy.update({ size: 1 })
    expect(busy.snapshot()).toMatchObject({ size: 1, threads: 1 })
    expect(() => busy.update({ size: 3, graceMs: -1 })).toThrow('Expected `graceMs`')
    expect(() => busy.update({ graceMs: 3, size: 0 })).toThrow('Expected `size`')
    expect(busy.snapshot()).toMatchObject({ size: 1, graceMs: 50 })
    busy.update({ size: 2, queue: 0 })
    await Promise.all([busy.run({ ms: 1 }), busy.run({ ms: 1 })])
    expect(busy.snapshot()).toMatchObject({ threads: 2, queue: 0 })
  })
})
