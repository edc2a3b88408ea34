import { type Context, openContext } from '../core/context.ts'
import { numberOption } from '../core/options.ts'
import { attempt, settleBefore, settleWithin } from '../internal/settle-within.ts'
import type { Copy, CopyStore, Kept, Lifetime } from './copy-store.ts'
import { type StoreFailure, storeFailed } from './events.ts'

export interface StoreAccessOptions {
  /** How long a call waits for the store before it goes on without. @default 50 */
  readonly storeTimeoutMs?: number
  /** After a failure, how long the store is left alone, so that not every call waits for one that is down. @default 1000 */
  readonly storePauseMs?: number
}

/**
 * A store that may be slow or down, behind calls that must not notice. A reading takes `storeTimeoutMs` at most and
 * never fails, it just finds nothing; nobody waits for a writing.
 */
export class StoreAccess {
  private readonly policy: string
  private readonly store: CopyStore
  private readonly timeoutMs: number
  private readonly pauseMs: number
  private pausedUntil: number
  private failed: number

  constructor(policy: string, store: CopyStore, options: StoreAccessOptions = {}) {
    this.policy = policy
    this.store = store
    const { storeTimeoutMs = 50, storePauseMs = 1000 } = options
    this.timeoutMs = numberOption('storeTimeoutMs', storeTimeoutMs, { min: 0, above: true })
    this.pauseMs = numberOption('storePauseMs', storePauseMs, { min: 0 })
    this.pausedUntil = -Infinity
    this.failed = 0
  }

  /** How often the store failed or was too slow. */
  get failures(): number {
    return this.failed
  }

  /** What is kept under `key`, at once where the store can tell at once. */
  read(key: string, context: Context): Copy | undefined | Promise<Copy | undefined> {
    const now = context.clock.now()
    if (now < this.pausedUntil) return undefined
    let found: Copy | undefined | Promise<Copy | undefined>
    try {
      found = this.store.get(key, now)
    } catch (error) {
      this.fail('read', error, context)
      return undefined
    }
    return found instanceof Promise ? this.within(context, found) : found
  }

  write(key: string, kept: Kept, lifetime: Lifetime, context: Context): void {
    const now = context.clock.now()
    if (now < this.pausedUntil) return
    try {
      const written = this.store.set(key, kept, lifetime, now)
      written?.catch((error: unknown) => this.fail('write', error, context))
    } catch (error) {
      this.fail('write', error, context)
    }
  }

  /** Unlike a writing this is tried whatever happened before, and fails where it cannot be done in `limitMs`. */
  async delete(key: string, context: Context, limitMs: number): Promise<void> {
    const { clock } = context
    const late = (): Error =>
      new Error(
        `${this.policy}: the store has not answered in ${limitMs} ms, so what was to be forgotten may still be there`,
      )
    try {
      const deleted = attempt(() => this.store.delete(key, clock.now()))
      await settleBefore(clock, limitMs, deleted, late)
    } catch (error) {
      this.fail('delete', error, context)
      throw error
    }
  }

  private async within<T>(caller: Context, found: Promise<T>): Promise<T | undefined> {
    const { context, close } = openContext({ parent: caller, timeoutMs: this.timeoutMs })
    try {
      return await settleWithin(context, found)
    } catch (error) {
      // A caller that has gone says nothing about the store.
      if (!caller.ended) this.fail('read', error, caller)
      return undefined
    } finally {
      close()
    }
  }

  private fail(doing: StoreFailure['doing'], error: unknown, context: Context): void {
    this.failed++
    this.pausedUntil = context.clock.now() + this.pauseMs
    if (storeFailed.active) storeFailed.emit({ policy: this.policy, doing, error })
  }
}
