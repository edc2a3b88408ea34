import { isFinal } from '../core/advice.ts'
import { callWithin } from '../core/ambient.ts'
import { layer } from '../core/chain.ts'
import { type Context, openContext } from '../core/context.ts'
import type { Handler, Protection } from '../core/handler.ts'
import { workBehind } from '../core/work.ts'
import { endedAlready } from '../internal/ended.ts'
import { Depositor } from './depositor.ts'
import { checkRetry, type RetryOptions, type RetrySettings } from './retry-options.ts'
import { Series } from './series.ts'

/**
 * Tries again, carefully: what may be repeated, when there is time left for it, as far as the backend's budget goes,
 * after a random wait, and never what a layer further in has given up on. Stands inside the total deadline and
 * outside everything that is about one attempt.
 */
export function retry<Req = unknown>(options: RetryOptions<Req> = {}): Protection<Req> {
  const settings = checkRetry(options)
  const policy = new Retry(settings)
  return layer({ kind: 'retry', name: settings.name, repeats: true }, next =>
    settings.signal === undefined ? policy.wrap(next) : until(settings.signal, policy.wrap(next)),
  )
}

/** A first attempt costs one more `then`, and no reading of the clock. */
class Retry {
  private readonly settings: RetrySettings
  private readonly depositor: Depositor

  constructor(settings: RetrySettings) {
    this.settings = settings
    this.depositor = new Depositor(settings.budget)
  }

  wrap<Req, Res>(next: Handler<Req, Res>): Handler<Req, Res> {
    const { depositor } = this
    const { budget, maxRetryTime, onFailedAttempt } = this.settings
    const passes = onFailedAttempt === undefined
    const succeeded =
      budget?.countsSuccesses === true
        ? (answer: Res): Res => {
            budget.succeeded()
            return answer
          }
        : undefined
    return (request, context) => {
      depositor.count(context)
      const endsAt = maxRetryTime === Infinity ? Infinity : context.clock.now() + maxRetryTime
      const answer = attempt(next, request, context)
      const promise: Promise<Res> = answer.then(succeeded, error => {
        // What was refused for good further in is passed up without another look: in an outage most calls are.
        if (passes && isFinal(error) && workBehind(answer) === answer) {
          budget?.failed()
          throw error
        }
        depositor.flush(context)
        return new Series(this.settings, { next, request, context, endsAt, error, answer, promise }).run()
      })
      return promise
    }
  }
}

function attempt<Req, Res>(next: Handler<Req, Res>, request: Req, context: Context): Promise<Res> {
  try {
    // A handler written without types may return a plain value; a promise comes back as it is.
    return Promise.resolve(next(request, context))
  } catch (error) {
    return Promise.reject(error)
  }
}

/** p-retry's `signal` option: ends every call that is being made when it aborts. */
function until<Req, Res>(signal: AbortSignal, next: Handler<Req, Res>): Handler<Req, Res> {
  return (request: Req, parent: Context) => {
    const open = openContext({ parent, signal })
    const ended = endedAlready(open.context)
    if (ended !== undefined) return ended
    return callWithin(open.context, next, request).finally(open.close)
  }
}
