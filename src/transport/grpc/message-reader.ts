import type { Readable } from 'node:stream'

interface Waiter<T> {
  resolve(result: IteratorResult<T, undefined>): void
  reject(error: unknown): void
}

/**
 * Hands the messages of a stream to whoever asks for the next one. The stream reads ahead by its own high-water
 * mark, 16 messages in grpc-js, and not further: a slow reader slows the sender down.
 */
export class MessageReader<T> implements AsyncIterableIterator<T> {
  private source: Readable | undefined
  private readonly waiting: Waiter<T>[]
  /** Whether no more messages will come than have come. */
  over: boolean
  private failed: boolean
  private failure: unknown

  constructor() {
    this.source = undefined
    this.waiting = []
    this.over = false
    this.failed = false
    this.failure = undefined
  }

  /** Reads from `source` from now on. */
  attach(source: Readable): void {
    this.source = source
    source.on('readable', () => {
      if (this.source === source) this.flush()
    })
  }

  /** Whether any message has arrived, read or not. */
  get begun(): boolean {
    return this.source !== undefined && (this.source.readableDidRead || this.source.readableLength > 0)
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<T, undefined>> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject })
      this.flush()
    })
  }

  /** The reader wants no more. */
  return(): Promise<IteratorResult<T, undefined>> {
    this.end(true)
    return Promise.resolve({ value: undefined, done: true })
  }

  /** No more will come. What has come is still handed out, unless it is to be dropped. */
  end(drop: boolean): void {
    if (drop) this.source = undefined
    this.over = true
    this.flush()
  }

  /** As `end`, and after the last message comes `error`. */
  fail(error: unknown, drop: boolean): void {
    if (this.over) return
    this.failed = true
    this.failure = error
    this.end(drop)
  }

  private flush(): void {
    while (this.waiting.length > 0) {
      const message: T | null = this.source?.read() ?? null
      if (message === null && !this.over) return
      const waiter = this.waiting.shift()!
      if (message !== null) {
        waiter.resolve({ value: message, done: false })
      } else if (this.failed) {
        this.failed = false
        waiter.reject(this.failure)
      } else {
        waiter.resolve({ value: undefined, done: true })
      }
    }
  }
}
