import type { Ending, Scope, Watcher } from '../../core/scope.ts'

/** Ways to read a whole body at once. */
const readers = ['arrayBuffer', 'blob', 'bytes', 'formData', 'json', 'text'] as const

/** Lets go of bodies that nobody can read any more, where no deadline does. */
const unread = new FinalizationRegistry<BodyWatch>(watch => watch.release())

/**
 * Keeps a call alive while the body of its response is being read: until then its deadline, and whoever can cancel
 * it, end the body too. A body that nobody reads is let go of when the deadline passes.
 */
export class BodyWatch implements Watcher {
  private readonly scope: Scope
  private readonly abort: (reason: unknown) => void
  private over: boolean
  nextWatcher: Watcher | undefined
  previousWatcher: Watcher | undefined

  constructor(scope: Scope, abort: (reason: unknown) => void) {
    this.scope = scope
    this.abort = abort
    this.over = false
    this.nextWatcher = undefined
    this.previousWatcher = undefined
  }

  /** Watches over `response`, whose body has not been touched. */
  watch(response: Response): void {
    const { scope } = this
    const { body } = response
    if (body === null) {
      scope.close()
      return
    }
    if (scope.ending !== undefined) {
      this.abort(scope.reason)
      return
    }
    scope.watch(this)
    if (scope.deadline === Infinity) unread.register(response, this, this)
    const done = releaserOf(this)
    // Own properties, because a Response that is wrapped loses its URL, its type and whether it was redirected.
    for (const name of readers) {
      const read = (response as unknown as Record<string, (() => Promise<unknown>) | undefined>)[name]
      if (read === undefined) continue
      const watched = (): Promise<unknown> => {
        const content = read.call(response)
        content.then(done, done)
        return content
      }
      Object.defineProperty(response, name, { value: watched, configurable: true, writable: true })
    }
    watchStream(body, done)
  }

  scopeEnded(_ending: Ending, reason: unknown): void {
    this.over = true
    this.abort(reason)
  }

  release(): void {
    if (this.over) return
    this.over = true
    unread.unregister(this)
    this.scope.unwatch(this)
    this.scope.close()
  }
}

/** Made where it cannot hold on to the response: `fetch` gives a connection back when nobody holds its response. */
function releaserOf(watch: BodyWatch): () => void {
  return () => watch.release()
}

/** Calls `done` when what reads the stream by hand has come to its end, or has lost interest. */
function watchStream(stream: ReadableStream, done: () => void): void {
  const getReader = stream.getReader.bind(stream) as (options?: object) => ReadableStreamDefaultReader
  const pipeTo = stream.pipeTo.bind(stream)
  const tee = stream.tee.bind(stream)
  const cancel = stream.cancel.bind(stream)
  const iterate = stream.values.bind(stream)
  async function* values(options?: { preventCancel?: boolean }): AsyncGenerator<unknown> {
    try {
      yield* iterate(options)
    } finally {
      done()
    }
  }
  const replaced = {
    getReader: (options?: object) => {
      const reader = getReader(options)
      // Settles at the end of the stream, and when the reader lets go of it.
      reader.closed.then(done, done)
      return reader
    },
    pipeTo: (...args: Parameters<typeof pipeTo>) => pipeTo(...args).finally(done),
    pipeThrough: <T>(...[pair, options]: Parameters<typeof stream.pipeThrough<T>>) => {
      pipeTo(pair.writable, options).then(done, done)
      return pair.readable
    },
    // What a clone of the response is made of. Whoever comes to the end of either has read all there is.
    tee: () => {
      const branches = tee()
      for (const branch of branches) watchStream(branch, done)
      return branches
    },
    cancel: (reason?: unknown) => cancel(reason).finally(done),
    values,
    [Symbol.asyncIterator]: values,
  }
  for (const name of Reflect.ownKeys(replaced)) {
    const value = replaced[name as keyof typeof replaced]
    Object.defineProperty(stream, name, { value, configurable: true, writable: true })
  }
}
