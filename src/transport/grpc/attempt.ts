import { type ServiceError, status } from '@grpc/grpc-js'
import type { Ending, Scope, Watcher } from '../../core/scope.ts'
import { adviseCallError } from './call-error.ts'
import type { CallMetadata } from './call-metadata.ts'

/** This close to its end, a call is left to end with the reason of its own deadline. */
const CLOSE_MS = 2

/**
 * One grpc-js call on behalf of a context. It is over when the answer comes or when the context ends, whichever
 * comes first; in the second case the call is cancelled. While it runs it is one watcher of the scope: no signal,
 * no timer of its own, no listener.
 */
export class Attempt<Res> implements Watcher {
  readonly metadata: CallMetadata
  /** Told if the attempt fails. `early`: it was given up on this side. */
  onFailure: ((error: unknown, early: boolean) => void) | undefined
  /** What sends the requests of a stream. */
  pump: { stop(): void } | undefined
  over: boolean
  private readonly scope: Scope
  private readonly resolve: (response: Res) => void
  private readonly reject: (error: unknown) => void
  private call: { cancel(): void } | undefined
  nextWatcher: Watcher | undefined
  previousWatcher: Watcher | undefined

  constructor(
    scope: Scope,
    metadata: CallMetadata,
    resolve: (response: Res) => void,
    reject: (error: unknown) => void,
  ) {
    this.metadata = metadata
    this.onFailure = undefined
    this.pump = undefined
    this.scope = scope
    this.resolve = resolve
    this.reject = reject
    this.call = undefined
    this.over = false
    this.nextWatcher = undefined
    this.previousWatcher = undefined
  }

  /** The call is on its way. */
  started(call: { cancel(): void }): void {
    this.call = call
    if (!this.over && !this.scope.endless) this.scope.watch(this)
  }

  succeed(response: Res): void {
    if (this.finish()) this.resolve(response)
  }

  /** grpc-js says that the call has failed. */
  fail(error: ServiceError): void {
    const { scope } = this
    // The server counts down the same deadline, rounded down, so its answer may be a little ahead of our own
    // alarm. The alarm is about to ring, and it knows whose deadline it was.
    if (error.code === status.DEADLINE_EXCEEDED && scope.deadline - scope.clock.now() < CLOSE_MS) return
    if (!this.finish()) return
    adviseCallError(error, this.metadata.sent)
    this.onFailure?.(error, false)
    this.reject(error)
  }

  /** Gives the call up because of something on this side. */
  abort(error: unknown): void {
    if (!this.finish()) return
    this.call?.cancel()
    this.onFailure?.(error, true)
    this.reject(error)
  }

  scopeEnded(_ending: Ending, reason: unknown): void {
    this.abort(reason)
  }

  private finish(): boolean {
    if (this.over) return false
    this.over = true
    if (!this.scope.endless) this.scope.unwatch(this)
    this.pump?.stop()
    return true
  }
}
