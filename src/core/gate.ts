import type { Context } from './context.ts'
import type { Kind } from './part.ts'
import type { Rejection } from './rejection.ts'

/**
 * How a call that was let in came out. `refused`: something further in refused it, the work never began.
 * `timeout`: its time ran out. `cancelled`: nobody waits for it any more, which says nothing about the work.
 */
export type Outcome = 'success' | 'failure' | 'refused' | 'timeout' | 'cancelled'

/** A call that has failed further in than a gate that may rescue it. */
export interface FailedCall<Req = unknown, Res = any> {
  readonly request: Req
  readonly context: Context
  /** What it failed with. Another error in its place is what it then fails with. */
  error: unknown
  /** The work that goes on behind the failure, where the answer came before its end. */
  readonly behind: Promise<unknown> | undefined
  /** Calls everything further in than the gate once more. */
  again(context: Context): Promise<Res>
}

/**
 * A say before and a word after each call, with no waiting in between. Neighbouring gates of a chain run in one
 * asynchronous frame with one reading of the clock on the way in and one on the way out.
 */
export interface Gate<Req = unknown, Ticket = unknown> {
  readonly kind: Kind
  /** Names the policy in refusals, warnings and `describe`. */
  readonly name: string
  /**
   * Lets the call in by returning a ticket, anything at all, or refuses it by returning a `Rejection`. A gate
   * that refuses is not settled.
   */
  admit(request: Req, context: Context, now: number): Ticket | Rejection
  /** Replaces the context for everything further in; the new one is derived from `context`. */
  narrow?(context: Context, ticket: Ticket): Context
  /**
   * @internal Asked once about a call that was let in, has failed further in and is still wanted: may see to it that
   * there is an answer after all. `undefined` lets the failure go up.
   */
  rescue?(call: FailedCall<Req>, ticket: Ticket): Promise<unknown> | undefined
  /** Called exactly once for each call let in. `error` is what the call failed with, `undefined` on success. */
  settle?(ticket: Ticket, outcome: Outcome, now: number, error: unknown): void
  /**
   * When a call is over for this gate. `answer`: when its caller has an answer, though that be a timeout while a
   * handler that ignores its signal still runs. `work`: when the handler itself has come to an end.
   * @default 'answer'
   */
  readonly until?: 'answer' | 'work'
}
