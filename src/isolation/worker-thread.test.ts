import { describe, expect, it } from 'vitest'
import { WorkerThread } from './worker-thread.ts'

const module = new URL('../../test/support/worker-handlers.mjs', import.meta.url).href
const values = { remainingMs: Infinity, tenant: undefined, caller: undefined }

/** A thread, and what is said of its end. */
function start(handler: string) {
  const ends: boolean[] = []
  const thread = new WorkerThread('pool', { module, handler }, undefined, (_thread, crashed) =>
    ends.push(crashed),
  )
  return { thread, ends }
}

const settled = (promise: Promise<unknown>) =>
  promise.then(
    value => value,
    error => error,
  )

describe('a worker thread', () => {
  it('does one call after another until it is terminated', async () => {
    const { thread, ends } = start('default')
    expect(await thread.run(3, values)).toBe(9)
    expect(await thread.run(4, values)).toBe(16)
    await thread.terminate()
    expect(ends).toEqual([false])
  })

  it('fails the call that it was terminated in', async () => {
    const { thread, ends } = start('busy')
    const answer = settled(thread.run({ ms: 1e9 }, values))
    await thread.terminate()
    expect(await answer).toMatchObject({
      message: 'pool: the worker thread was terminated',
      code: 'ERR_WORKER_THREAD_ENDED',
    })
    expect(ends).toEqual([false])
  })

  it('says that it ended by itself, and why', async () => {
    const { thread, ends } = start('fail')
    expect(await settled(thread.run('later', values))).toMatchObject({
      message: 'pool: the worker thread ended by itself (exit code 1)',
      cause: { message: 'in the background' },
    })
    expect(ends).toEqual([true])
  })

  it('passes an abort on to a call that is already asked for, though its module is still loading', async () => {
    const { thread } = start('polite')
    const answer = thread.run({ ms: 60_000 }, values)
    thread.abort()
    expect(await answer).toBe('stopped')
    // One that comes too late concerns nobody.
    thread.abort()
    expect(await thread.run({ ms: 0 }, values)).toBe('finished')
    await thread.terminate()
  })
})
