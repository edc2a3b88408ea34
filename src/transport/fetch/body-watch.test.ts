import { describe, expect, it } from 'vitest'
import { Scope } from '../../core/scope.ts'
import { manualClock } from '../../testing/index.ts'
import { BodyWatch } from './body-watch.ts'

/** A response that is watched until a deadline 100 ms from now; the alarm is armed for as long as it is. */
function watched(response: Response) {
  const clock = manualClock()
  const reason = new Error('too late')
  const scope = new Scope(clock, undefined, clock.now() + 100, () => reason, undefined)
  const aborts: unknown[] = []
  new BodyWatch(scope, reason => aborts.push(reason)).watch(response)
  return { clock, reason, aborts, response, body: response.body! }
}

/** A body that never comes to its end. */
const endless = (): Response => new Response(new ReadableStream({}))

async function drain(reader: ReadableStreamDefaultReader): Promise<void> {
  while (!(await reader.read()).done);
}

type Way = (response: Response, body: ReadableStream<Uint8Array>) => unknown

describe('BodyWatch', () => {
  it.each<[string, Way]>([
    ['text()', response => response.text()],
    ['json()', response => response.json()],
    ['arrayBuffer()', response => response.arrayBuffer()],
    ['blob()', response => response.blob()],
    ['formData() that fails', response => response.formData().catch(() => {})],
    ['a reader', (_response, body) => drain(body.getReader())],
    ['pipeTo()', (_response, body) => body.pipeTo(new WritableStream())],
    [
      'pipeThrough()',
      (_response, body) => drain(body.pipeThrough(new TransformStream<Uint8Array, Uint8Array>()).getReader()),
    ],
    ['tee()', (_response, body) => Promise.all(body.tee().map(branch => drain(branch.getReader())))],
    ['clone()', response => Promise.all([response.clone().text(), response.text()])],
    [
      'for await',
      async (_response, body) => {
        for await (const _ of body);
      },
    ],
  ])('lets go of a body that has been read by %s', async (_name, read) => {
    const { clock, aborts, response, body } = watched(new Response('[1]'))
    expect(clock.armed).toBe(1)
    await read(response, body)
    await clock.flush()
    expect(clock.armed).toBe(0)
    await clock.advance(100)
    expect(aborts).toEqual([])
  })

  it.each<[string, Way]>([
    ['cancel()', (_response, body) => body.cancel()],
    ['releaseLock()', (_response, body) => body.getReader().releaseLock()],
  ])('lets go of a body given up by %s', async (_name, giveUp) => {
    const { clock, response, body } = watched(endless())
    await giveUp(response, body)
    await clock.flush()
    expect(clock.armed).toBe(0)
  })

  it('aborts a body that is still being read at the deadline, once, with the reason', async () => {
    const { clock, reason, aborts, body } = watched(endless())
    const reader = body.getReader()
    await clock.advance(99)
    expect(aborts).toEqual([])
    await clock.advance(1)
    expect(aborts).toEqual([reason])
    await reader.cancel()
    await clock.advance(100)
    expect(aborts).toEqual([reason])
  })

  it('aborts at once when the call has ended before there was a body', () => {
    const scope = new Scope(manualClock(), undefined, Infinity, undefined, undefined)
    scope.end('cancelled', 'gone')
    const aborts: unknown[] = []
    new BodyWatch(scope, reason => aborts.push(reason)).watch(endless())
    expect(aborts).toEqual(['gone'])
  })

  it('closes the scope of a response without a body, and leaves the response alone', () => {
    const clock = manualClock()
    const scope = new Scope(clock, undefined, clock.now() + 100, undefined, undefined)
    void scope.signal
    expect(clock.armed).toBe(1)
    const response = new Response(null)
    new BodyWatch(scope, () => {}).watch(response)
    expect(clock.armed).toBe(0)
    expect(Object.hasOwn(response, 'text')).toBe(false)
  })
})
