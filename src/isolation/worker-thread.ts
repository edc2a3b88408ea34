import { type ResourceLimits, Worker } from 'node:worker_threads'
import { withContext } from '../core/ambient.ts'
import { rootContext } from '../core/context.ts'
import { type Deferred, defer } from '../internal/deferred.ts'
import { type ErrorFacts, errorFrom } from '../internal/error-facts.ts'
import { type WorkerData, workerScript } from './worker-script.ts'

/** What a worker thread is told. */
export type Order =
  | { readonly order: 'run'; readonly request: unknown; readonly values: CallValues }
  | { readonly order: 'abort' }

/** What a worker thread is told of a call besides its request. */
export interface CallValues {
  readonly remainingMs: number
  readonly tenant: string | undefined
  readonly caller: string | undefined
}

/** What a worker thread answers, once for each call. What else the code in it may post is none. */
export type Report =
  | { readonly report: 'value'; readonly value: unknown }
  | { readonly report: 'error'; readonly error: ErrorFacts }
  | { readonly report: 'thrown'; readonly thrown: unknown }

/** One thread, which does one call at a time. It keeps the process alive only while it works. */
export class WorkerThread {
  private readonly worker: Worker
  private readonly owner: string
  private readonly gone: (thread: WorkerThread, crashed: boolean) => void
  private call: Deferred<unknown> | undefined
  private failure: unknown
  private terminated: boolean

  constructor(
    owner: string,
    data: WorkerData,
    resourceLimits: ResourceLimits | undefined,
    gone: (thread: WorkerThread, crashed: boolean) => void,
  ) {
    this.owner = owner
    this.gone = gone
    this.call = undefined
    this.failure = undefined
    this.terminated = false
    // The thread outlives the call that it is started for, and must not hold on to its context.
    this.worker = withContext(rootContext, () => {
      const options = resourceLimits === undefined ? {} : { resourceLimits }
      return new Worker(workerScript, { eval: true, workerData: data, ...options })
    })
    this.worker.unref()
    this.worker.on('message', (message: unknown) => this.report(message as Partial<Report> | null))
    this.worker.on('error', error => {
      this.failure = error
    })
    this.worker.once('exit', code => this.exited(code))
  }

  /** Does one call. Settles when the thread is free again or has ended. */
  run(request: unknown, values: CallValues): Promise<unknown> {
    const order: Order = { order: 'run', request, values }
    this.worker.postMessage(order)
    this.worker.ref()
    this.call = defer()
    return this.call.promise
  }

  /** Tells the handler through its signal that nobody waits for it any more. */
  abort(): void {
    const order: Order = { order: 'abort' }
    if (this.call !== undefined) this.worker.postMessage(order)
  }

  /** Ends the thread in the middle of whatever it does. */
  async terminate(): Promise<void> {
    this.terminated = true
    await this.worker.terminate()
  }

  private report(message: Partial<Report> | null): void {
    const { call } = this
    const report = message?.report
    if (call === undefined || (report !== 'value' && report !== 'error' && report !== 'thrown')) return
    this.call = undefined
    this.worker.unref()
    const said = message as Report
    if (said.report === 'value') call.resolve(said.value)
    else call.reject(said.report === 'error' ? errorFrom(said.error) : said.thrown)
  }

  private exited(code: number): void {
    const { call } = this
    this.call = undefined
    this.gone(this, !this.terminated)
    const how = this.terminated ? 'was terminated' : `ended by itself (exit code ${code})`
    const error = new Error(`${this.owner}: the worker thread ${how}`, { cause: this.failure })
    call?.reject(Object.assign(error, { code: 'ERR_WORKER_THREAD_ENDED' }))
  }
}
