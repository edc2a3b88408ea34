import { type Deferred, defer } from '../../src/internal/deferred.ts'

export interface Backend {
  /** The calls that have not ended, the first to come first. */
  readonly running: (Deferred<string> & { readonly request: unknown })[]
  /** Every request that has come. */
  readonly log: unknown[]
  readonly handler: (request: unknown) => Promise<string>
  /** Ends the first call. */
  finish(): Promise<void>
}

/** A handler whose calls end when the test says so. */
export function backend(): Backend {
  const running: (Deferred<string> & { readonly request: unknown })[] = []
  const log: unknown[] = []
  return {
    running,
    log,
    handler: (request: unknown) => {
      const call = { ...defer<string>(), request }
      running.push(call)
      log.push(request)
      return call.promise
    },
    async finish() {
      running.shift()!.resolve('done')
      await flush()
    },
  }
}

export const flush = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

/** What a promise comes to, a value or an error. */
export const settled = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    value => value,
    error => error,
  )
