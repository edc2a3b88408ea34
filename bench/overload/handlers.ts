/**
 * The six handlers: one for each way in which a Node server runs out of something. All of them answer with a few
 * bytes, so that what they cost is the work alone.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'

/** Serves one request; `answer` is called when the work is done. */
type Work = (request: IncomingMessage, answer: () => void) => void

export interface HandlerKind {
  readonly title: string
  readonly about: string
  /** What the clients ask for, and how much of all requests each is. */
  readonly paths: Readonly<Record<string, number>>
  /** The size of the JSON body that they send along. */
  readonly bodyBytes?: number
  /** How many requests at a time find the capacity: enough to have none of it idle, and no more. */
  readonly concurrency: number
  /** How long a request computes, in the mean, by the clock: the same on a slow core. All else takes longer there. */
  readonly computesMs: number
  /** How many times as long ours is measured under too much: where requests differ, chance has a part in what they add up to. */
  readonly times?: number
  /** Makes the work of one server. */
  readonly work: () => Work
}

/** Keeps the loop busy, the way a computation does. */
export function burn(ms: number): void {
  const until = performance.now() + ms
  // Asking for the time leaves garbage behind, so not all the time.
  for (let x = 1; performance.now() < until; ) {
    for (let i = 0; i < 500; i++) x = (x * 1.000_001) % 7
  }
}

/** Some connections to something further in, each held for 20 ms; and so much to compute for each request. */
export function poolBound(connections: number, ms: number = 0.05): Work {
  const waiting: (() => void)[] = []
  let free = connections
  const hold = (answer: () => void): void => {
    setTimeout(() => {
      answer()
      const next = waiting.shift()
      if (next === undefined) free++
      else next()
    }, 20)
  }
  return (_request, answer) => {
    if (ms > 0) burn(ms)
    if (free === 0) waiting.push(() => hold(answer))
    else {
      free--
      hold(answer)
    }
  }
}

export type HandlerName = 'cpu' | 'mixed' | 'pool' | 'costMix' | 'deferred' | 'post'

export const handlers: Readonly<Record<HandlerName, HandlerKind>> = {
  cpu: {
    title: '2 ms of CPU',
    about: 'computes for 2 ms',
    paths: { '/': 1 },
    concurrency: 8,
    computesMs: 2,
    work: () => (_request, answer) => {
      burn(2)
      answer()
    },
  },
  mixed: {
    title: '0.5 ms + 5 ms wait + 0.5 ms',
    about: 'computes for 0.5 ms, waits for 5 ms, computes for 0.5 ms',
    paths: { '/': 1 },
    concurrency: 24,
    computesMs: 1,
    work: () => (_request, answer) => {
      burn(0.5)
      setTimeout(() => {
        burn(0.5)
        answer()
      }, 5)
    },
  },
  pool: {
    title: 'wait for a pool',
    about: 'waits for one of 20 connections, which it holds for 20 ms',
    paths: { '/': 1 },
    concurrency: 30,
    computesMs: 0.05,
    work: () => poolBound(20),
  },
  costMix: {
    title: 'costs of 1 to 30',
    about: 'computes for 0.5 ms, and for 15 ms one time in ten',
    paths: { '/light': 0.9, '/heavy': 0.1 },
    concurrency: 8,
    computesMs: 1.95,
    times: 2,
    work: () => (request, answer) => {
      burn(request.url === '/heavy' ? 15 : 0.5)
      answer()
    },
  },
  deferred: {
    title: 'deferred CPU',
    about: 'computes for 2 ms, put off with setImmediate',
    paths: { '/': 1 },
    concurrency: 8,
    computesMs: 2,
    work: () => (_request, answer) => {
      setImmediate(() => {
        burn(2)
        answer()
      })
    },
  },
  post: {
    title: '8 kB JSON POST, express',
    about: 'parses 8 kB of JSON behind express, computes for 1 ms',
    paths: { '/': 1 },
    bodyBytes: 8_192,
    concurrency: 8,
    computesMs: 1,
    work: () => (_request, answer) => {
      burn(1)
      answer()
    },
  },
}

export const handlerNames: readonly HandlerName[] = Object.keys(handlers) as HandlerName[]

export const answerText = 'done'

/** A path that every server answers without any work: a second of that, and its code is compiled. */
export const warmPath = '/warm'

/** Answers 200, in the cheapest way there is. */
export function answerOk(response: ServerResponse): void {
  response.writeHead(200, { 'content-length': answerText.length })
  response.end(answerText)
}
