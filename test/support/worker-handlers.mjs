// Handlers for worker threads, as a user would write them.
import { parentPort, threadId } from 'node:worker_threads'

const spin = ms => {
  const end = performance.now() + ms
  while (performance.now() < end);
}

export default function square(n) {
  return n * n
}

export const where = () => threadId

export function busy({ ms }) {
  spin(ms)
  return threadId
}

export async function polite({ ms }, { signal }) {
  if (signal.aborted) return 'stopped'
  await new Promise(resolve => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    })
  })
  return signal.aborted ? 'stopped' : 'finished'
}

export function told(_request, { remainingMs, tenant, caller }) {
  return { remainingMs, tenant, caller }
}

export function fail(how) {
  if (how === 'coded')
    throw Object.assign(new RangeError('too far'), { code: 'E_FAR', status: 422, secret: {} })
  if (how === 'string') throw 'just text'
  if (how === 'uncloneable') return () => 'a function'
  if (how === 'exit') process.exit(3)
  if (how === 'later') {
    setTimeout(() => {
      throw new Error('in the background')
    })
    return new Promise(() => {})
  }
  if (how === 'memory') {
    const hoard = []
    for (;;) hoard.push(new Array(1e6).fill(hoard.length))
  }
  return threadId
}

export async function chatty() {
  for (const message of ['ready', null, 7, { value: 'wrong' }, { report: 'done' }])
    parentPort.postMessage(message)
  await new Promise(resolve => setTimeout(resolve, 5))
  return 'right'
}

export const notAFunction = 7
