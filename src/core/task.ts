import type { Context } from './context.ts'

/**
 * Work that a row of gates stands around without a promise: a request of a transport, which is told of its end by an
 * event and answers by a call. Four promises would stand between the two, and where async hooks are on, as
 * `AsyncLocalStorage` needs them, they cost more than all of the gates.
 */
export interface Task {
  /** The gates have let it in. Once it is over it tells `end`, once. */
  begin(context: Context, end: TaskEnd): void
  /** The call has failed: in the gates, by its context, or because the task itself did. */
  failed(error: unknown): void
  /** The end of the work, for gates that wait for it beyond the end of the call. Asked for once it has begun. */
  readonly work: Promise<unknown>
}

/** What a task tells how it came out. Told after the call has ended it does nothing. */
export interface TaskEnd {
  succeeded(): void
  failed(error: unknown): void
}
