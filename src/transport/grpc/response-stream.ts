import { Readable } from 'node:stream'
import { type Context, openContext } from '../../core/context.ts'
import { cancelled } from '../../core/rejection.ts'
import { MessageReader } from './message-reader.ts'
import { isMessages } from './pump.ts'

/** What the innermost handler of a streaming call answers its chain with: the messages go their own way. */
export const DELIVERED: readonly never[] = Object.freeze([])

/**
 * The answers of one streaming call, in the hands of its caller. The chain around the call runs from the first
 * `next()` until the stream has ended, so that a deadline bounds all of it and a bulkhead counts it all the while.
 *
 * Once a message has arrived nothing can undo it: from then on a failure reaches the caller, and neither a retry
 * nor a fallback in between changes that. Before, a retry may begin again, and a fallback answer in its place.
 */
export class ResponseStream<Res> implements AsyncIterableIterator<Res> {
  private readonly reader: MessageReader<Res>
  private readonly parent: Context
  private readonly run: (context: Context, stream: ResponseStream<Res>) => Promise<unknown>
  private cancel: ((reason: unknown) => void) | undefined
  private instead: Readable | undefined
  private begun: boolean

  constructor(parent: Context, run: (context: Context, stream: ResponseStream<Res>) => Promise<unknown>) {
    this.reader = new MessageReader()
    this.parent = parent
    this.run = run
    this.cancel = undefined
    this.instead = undefined
    this.begun = false
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<Res, undefined>> {
    if (!this.begun) this.begin()
    return this.reader.next()
  }

  /** The caller wants no more: the call is cancelled. */
  return(): Promise<IteratorResult<Res, undefined>> {
    this.begun = true
    this.reader.end(true)
    this.cancel?.(cancelled('grpc'))
    this.instead?.destroy()
    return Promise.resolve({ done: true, value: undefined })
  }

  /** @internal An attempt of the call has a stream to read from. */
  attach(source: Readable): void {
    this.reader.attach(source)
  }

  /** @internal Whether it is too late to begin again. */
  get committed(): boolean {
    return this.reader.over || this.reader.begun
  }

  /** @internal An attempt has failed. `early`: it was given up on this side. */
  attemptFailed(error: unknown, early: boolean): void {
    if (this.reader.begun) this.reader.fail(error, early)
  }

  private begin(): void {
    this.begun = true
    const { context, cancel, close } = openContext({ parent: this.parent })
    this.cancel = cancel
    this.run(context, this).then(
      answer => {
        this.cancel = undefined
        close()
        if (answer !== DELIVERED && isMessages(answer) && !this.committed) this.deliver(answer)
        else this.reader.end(false)
      },
      error => {
        this.cancel = undefined
        close()
        this.reader.fail(error, false)
      },
    )
  }

  /** Something in the chain has answered in place of the call. */
  private deliver(messages: Iterable<unknown> | AsyncIterable<unknown>): void {
    const { reader } = this
    const source = Readable.from(messages)
    this.instead = source
    source.on('end', () => reader.end(false))
    source.on('error', error => reader.fail(error, false))
    reader.attach(source)
  }
}
