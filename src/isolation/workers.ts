import { availableParallelism } from 'node:os'
import { isAbsolute } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { ResourceLimits } from 'node:worker_threads'
import { type Clock, systemClock } from '../core/clock.ts'
import type { Context } from '../core/context.ts'
import type { Call } from '../core/handler.ts'
import { type Mechanism, register } from '../core/mechanism.ts'
import { knownOptions, nameOption, numberOption } from '../core/options.ts'
import { Rejection } from '../core/rejection.ts'
import type { Watcher } from '../core/scope.ts'
import { announceSettings } from '../core/settings.ts'
import { after } from '../internal/timer.ts'
import { slotQueue } from './slot-queue.ts'
import { Slots, type SlotsSnapshot } from './slots.ts'
import { type CallValues, WorkerThread } from './worker-thread.ts'

/** What a handler in a worker thread is told of its call. */
export interface WorkerContext extends CallValues {
  /** Aborts when nobody waits for the answer any more. It can only be noticed between two turns of the event loop. */
  readonly signal: AbortSignal
}

/** What a module for `workers` exports. Requests and answers must be of kinds that can be copied between threads. */
export type WorkerHandler<Req, Res> = (request: Req, context: WorkerContext) => Res | Promise<Res>

export interface WorkersOptions {
  /** The module with the handler: a `URL` or an absolute path. `new URL('./resize.js', import.meta.url)` */
  readonly module: URL | string
  /** The name under which the module exports the handler. @default 'default' */
  readonly handler?: string
  /** How many threads there may be. They are started when needed. @default one fewer than there are processors, at least 1 */
  readonly size?: number
  /** How many calls may wait for a thread. @default 4 for each thread */
  readonly queue?: number
  /** How long a call may wait for a thread. Its deadline bounds the wait too. @default 1000 */
  readonly maxWaitMs?: number
  /**
   * How long a handler has to stop by itself once its call was cancelled or timed out. Then its thread is
   * terminated and replaced, since nothing else stops a busy one. `Infinity` lets every handler finish. @default 50
   */
  readonly graceMs?: number
  /** Bounds for the memory of each thread, as `node:worker_threads` has them. */
  readonly resourceLimits?: ResourceLimits
  /** @default 'workers' */
  readonly name?: string
  /** @default the process's own */
  readonly clock?: Clock
}

type Changes = Pick<WorkersOptions, 'size' | 'queue' | 'maxWaitMs' | 'graceMs'>

export interface WorkersSnapshot
  extends Pick<
    SlotsSnapshot,
    'active' | 'waiting' | 'admitted' | 'refused' | 'expired' | 'dropped' | 'left'
  > {
  readonly size: number
  readonly queue: number
  readonly maxWaitMs: number
  readonly graceMs: number
  /** Threads there are, busy or not. */
  readonly threads: number
  /** Threads that ended by themselves: an error that nobody caught, memory that ran out, `process.exit`. */
  readonly crashed: number
  /** Threads that were terminated because the handler did not stop. */
  readonly terminated: number
}

export interface Workers<Req, Res> extends Mechanism<Changes, WorkersSnapshot>, AsyncDisposable {
  /** Does a call in a thread. */
  readonly run: Call<Req, Res>
  /**
   * Takes no more calls, lets those that run or wait finish for up to `drainMs`, and then ends every thread.
   * @param drainMs @default 5000
   */
  close(drainMs?: number): Promise<void>
}

/**
 * Runs a handler in worker threads, so that heavy computing leaves the event loop free. At most `size` calls run
 * at a time, the line before them is a bulkhead's, and a thread that crashes fails its own call only.
 */
export function workers<Req, Res>(options: WorkersOptions): Workers<Req, Res> {
  return register(new Pool<Req, Res>(options))
}

const changeable = ['size', 'queue', 'maxWaitMs', 'graceMs'] as const

class Pool<Req, Res> implements Workers<Req, Res> {
  readonly kind: string = 'workers'
  readonly name: string
  readonly run: Call<Req, Res>
  private readonly start: () => WorkerThread
  private readonly clock: Clock
  private readonly slots: Slots
  private readonly threads: Set<WorkerThread>
  /** Threads with nothing to do; the one that was used last is used first, so that those not needed stay cold. */
  private readonly free: WorkerThread[]
  private graceMs: number
  private crashed: number
  private terminated: number
  private closing: Promise<void> | undefined
  private closed: boolean

  constructor(options: WorkersOptions) {
    knownOptions('workers', options, [...changeable, 'module', 'handler', 'resourceLimits', 'name', 'clock'])
    const { size = Math.max(1, availableParallelism() - 1), resourceLimits } = options
    const { queue = 4 * size, maxWaitMs = 1000 } = options
    const data = {
      module: addressOf(options.module),
      handler: nameOption('handler', options.handler ?? 'default'),
    }
    this.name = nameOption('name', options.name ?? 'workers')
    this.clock = options.clock ?? systemClock
    this.graceMs = checkGrace(options.graceMs ?? 50)
    this.slots = new Slots(this.name, { limit: checkSize(size), queue, maxWaitMs }, '', true)
    this.threads = new Set()
    this.free = []
    this.crashed = 0
    this.terminated = 0
    this.closing = undefined
    this.closed = false
    this.start = () => new WorkerThread(this.name, data, resourceLimits, this.gone)
    const select = (): Slots => {
      if (this.closing !== undefined) throw this.refusal()
      return this.slots
    }
    this.run = slotQueue<Req>(
      this.name,
      'work',
      select,
    )((request: Req, context) => this.execute(request, context)) as Call<Req, Res>
  }

  close(drainMs = 5000): Promise<void> {
    numberOption('drainMs', drainMs, { min: 0, infinite: true })
    this.closing ??= this.shutDown(drainMs)
    return this.closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  update(changes: Partial<Changes>): void {
    knownOptions('workers', changes, changeable)
    const { size = this.slots.present.limit, graceMs = this.graceMs, ...rest } = changes
    checkGrace(graceMs)
    this.slots.adopt({ ...rest, limit: checkSize(size) })
    this.graceMs = graceMs
    while (this.threads.size > size && this.free.length > 0) void this.end(this.free.pop()!)
    announceSettings(this, changes)
  }

  snapshot(): WorkersSnapshot {
    const { limit: size, lifoAfterMs: _, serviceMs: __, ...slots } = this.slots.snapshot()
    const { graceMs, crashed, terminated } = this
    return { ...slots, size, graceMs, threads: this.threads.size, crashed, terminated }
  }

  reset(): void {
    this.slots.reset()
    this.crashed = 0
    this.terminated = 0
  }

  /** Does a call that has its place. Settles when the place can go to another: the thread is free, or gone. */
  private async execute(request: Req, context: Context): Promise<Res> {
    if (this.closed) throw this.refusal()
    let thread = this.free.pop()
    if (thread === undefined) {
      thread = this.start()
      this.threads.add(thread)
    }
    const supervisor = new Supervisor(thread, context, this.graceMs, () => {
      this.terminated++
    })
    try {
      const { remainingMs, tenant, caller } = context
      return (await thread.run(request, { remainingMs, tenant, caller })) as Res
    } finally {
      supervisor.letGo()
      if (this.threads.has(thread)) {
        if (this.threads.size > this.slots.present.limit || this.closed) await this.end(thread)
        else this.free.push(thread)
      }
    }
  }

  /** A thread has ended, whoever ended it. */
  private readonly gone = (thread: WorkerThread, crashed: boolean): void => {
    this.threads.delete(thread)
    const index = this.free.indexOf(thread)
    if (index >= 0) this.free.splice(index, 1)
    if (crashed) this.crashed++
  }

  private async end(thread: WorkerThread): Promise<void> {
    this.threads.delete(thread)
    await thread.terminate()
  }

  private async shutDown(drainMs: number): Promise<void> {
    if (!this.slots.idle) {
      await new Promise<void>(resolve => {
        const disarm = drainMs === Infinity ? () => {} : after(this.clock, drainMs, resolve)
        this.slots.onIdle = () => {
          disarm()
          resolve()
        }
      })
    }
    this.closed = true
    await Promise.all([...this.threads].map(thread => thread.terminate()))
  }

  private refusal(): Rejection {
    return new Rejection({
      reason: 'bulkhead-full',
      policy: this.name,
      retry: 'elsewhere',
      detail: 'shutting down',
    })
  }
}

/** Stops the thread of a call that has ended: asks first, terminates when the grace is over. */
class Supervisor implements Watcher {
  private readonly thread: WorkerThread
  private readonly context: Context
  private readonly graceMs: number
  private readonly terminated: () => void
  private disarm: (() => void) | undefined
  nextWatcher: Watcher | undefined
  previousWatcher: Watcher | undefined

  constructor(thread: WorkerThread, context: Context, graceMs: number, terminated: () => void) {
    this.thread = thread
    this.context = context
    this.graceMs = graceMs
    this.terminated = terminated
    this.disarm = undefined
    this.nextWatcher = undefined
    this.previousWatcher = undefined
    if (!context.scope.endless) context.scope.watch(this)
  }

  scopeEnded(): void {
    if (this.graceMs === 0) {
      this.terminate()
      return
    }
    this.thread.abort()
    if (this.graceMs < Infinity) this.disarm = after(this.context.clock, this.graceMs, () => this.terminate())
  }

  letGo(): void {
    this.context.scope.unwatch(this)
    this.disarm?.()
  }

  private terminate(): void {
    this.terminated()
    void this.thread.terminate()
  }
}

function addressOf(module: URL | string): string {
  if (module instanceof URL) return module.href
  if (typeof module === 'string' && isAbsolute(module)) return pathToFileURL(module).href
  throw new TypeError(`Expected \`module\` to be a URL or an absolute path, got ${JSON.stringify(module)}`)
}

function checkSize(size: unknown): number {
  return numberOption('size', size, { min: 1, integer: true })
}

function checkGrace(graceMs: unknown): number {
  return numberOption('graceMs', graceMs, { min: 0, infinite: true })
}
