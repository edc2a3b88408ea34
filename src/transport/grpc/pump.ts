import type { Writable } from 'node:stream'

/** What a stream of messages may be given as. */
export type Messages<T> = Iterable<T> | AsyncIterable<T>

/** Writes the messages of an iterable to a stream, and asks for the next one only when the stream has room. */
export class Pump<T> {
  /** Whether the messages can be asked for only once, as those of a generator. */
  readonly oneShot: boolean
  /** Whether a message has been written. */
  begun: boolean
  private readonly iterator: Iterator<T> | AsyncIterator<T>
  private readonly sink: Writable
  private stopped: boolean
  private wake: (() => void) | undefined

  constructor(messages: Messages<T>, sink: Writable) {
    this.iterator =
      Symbol.asyncIterator in messages ? messages[Symbol.asyncIterator]() : messages[Symbol.iterator]()
    this.sink = sink
    this.oneShot = (this.iterator as unknown) === messages
    this.begun = false
    this.stopped = false
    this.wake = undefined
  }

  /** Resolves when everything has been written or no more is wanted; rejects with what the iterable throws. */
  async run(): Promise<void> {
    const { sink } = this
    const wake = (): void => this.wake?.()
    sink.on('drain', wake)
    try {
      while (!this.stopped) {
        const { done, value } = await this.iterator.next()
        if (this.stopped || done === true) return
        this.begun = true
        if (!sink.write(value)) await this.room()
      }
    } finally {
      sink.off('drain', wake)
    }
  }

  /** Asks for no more messages, and tells the iterable so. */
  stop(): void {
    if (this.stopped) return
    this.stopped = true
    this.wake?.()
    // An iterable that fails while it is told to stop has nobody left to tell.
    try {
      Promise.resolve(this.iterator.return?.()).catch(() => {})
    } catch {}
  }

  private room(): Promise<void> {
    return new Promise(resolve => {
      this.wake = resolve
    })
  }
}

export function isMessages(value: unknown): value is Messages<unknown> {
  return (
    typeof value === 'object' && value !== null && (Symbol.asyncIterator in value || Symbol.iterator in value)
  )
}
