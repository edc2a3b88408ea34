import { defaultContext } from './ambient.ts'
import { createContextKey } from './context-key.ts'
import type { Handler } from './handler.ts'
import { type Kind, type Layer, type Part, wrapBy } from './part.ts'
import { warn } from './warn.ts'

interface Rule {
  readonly outer: readonly Kind[]
  readonly inner: readonly Kind[]
  readonly because: string
}

/** Orders that work in a demonstration and fail in an outage. */
const rules: readonly Rule[] = [
  {
    outer: ['breaker'],
    inner: ['retry', 'hedge'],
    because:
      'the breaker then sees one result for a whole series of attempts, and while it is open no attempt can go to another endpoint. Put the breaker inside the retry',
  },
  {
    outer: ['throttle'],
    inner: ['retry', 'hedge'],
    because:
      'the throttle then counts a whole series of attempts as one call, and lets the rest of the series through without a say. Put the throttle inside the retry',
  },
  {
    outer: ['balance'],
    inner: ['retry', 'hedge'],
    because:
      'the endpoint is then chosen once and every attempt goes to it again. Put the balancer inside the retry, so that each attempt may go elsewhere',
  },
  {
    outer: ['attempt-deadline'],
    inner: ['retry', 'hedge'],
    because:
      'the time of one attempt then bounds all of them together. Put the attemptDeadline inside the retry, and a deadline outside it',
  },
  {
    outer: ['bulkhead'],
    inner: ['retry', 'hedge'],
    because:
      'a place is then held while the retry sleeps, so a struggling dependency fills the bulkhead with calls that do nothing. Put the bulkhead inside the retry',
  },
  {
    outer: ['retry', 'hedge'],
    inner: ['deadline'],
    because:
      'every attempt then gets the whole time again and nothing bounds their sum. Put the total deadline outside the retry, and an attemptDeadline inside it',
  },
  {
    outer: ['retry', 'hedge'],
    inner: ['retry', 'hedge'],
    because:
      'their attempts multiply: three times three is nine calls to a dependency that is already failing, and a budget that they share counts every call more than once. Keep one of them',
  },
  {
    outer: ['breaker'],
    inner: ['fallback'],
    because:
      'the breaker then sees only the successes of the fallback and never opens. Put the fallback outside the breaker',
  },
  {
    outer: ['retry', 'hedge'],
    inner: ['cache'],
    because:
      'every waiter of a shared call then retries on its own. Put the shared call outside the retry, so that it shares the retries too',
  },
]

/** Warns once for each pair of neighbours in `parts` whose order is known to hurt, and says why. */
export function reportOrder(parts: readonly Part[]): void {
  const all = parts.map(part => ('gate' in part ? part.gate : part.layer))
  for (const [i, outer] of all.entries()) {
    if ('warning' in outer && outer.warning !== undefined)
      warn('SPILLWAY_ORDER', `${outer.name}: ${outer.warning}`)
    for (const inner of all.slice(i + 1)) {
      const rule = rules.find(rule => rule.outer.includes(outer.kind) && rule.inner.includes(inner.kind))
      if (rule === undefined) continue
      warn('SPILLWAY_ORDER', `${outer.name} stands outside ${inner.name}: ${rule.because}.`)
    }
  }
}

/** One run of a layer: how often it called `next`, and how many of those calls have not come back. */
interface Run {
  calls: number
  pending: number
}

/** Wraps a layer so that a `next` called twice, left behind or called without its context is reported. Behaviour is not changed. */
export function guard(layer: Layer, next: Handler<any, any>): Handler<any, any> {
  if (layer.repeats) return wrapBy(layer, next)
  const { name } = layer
  // The run travels in the context, because nothing else ties a call of `next` to the call that it is made for.
  const key = createContextKey<Run | undefined>(`run of ${name}`, undefined)
  const counted: Handler<any, any> = (request, context) => {
    if (context === undefined) {
      warn(
        'SPILLWAY_CONTEXT_LOST',
        `${name} called next() without the context, so the deadline and the cancellation of the call are lost from there on. Hand it on: next(request, context).`,
      )
      return next(request, context)
    }
    const run = context.get(key)
    if (run === undefined) return next(request, context)
    if (++run.calls === 2) {
      warn(
        'SPILLWAY_NEXT_TWICE',
        `${name} called next() twice for one call, so the work was done twice. A middleware that means to repeat says so: layer({ ..., repeats: true }, ...).`,
      )
    }
    const answer = next(request, context)
    run.pending++
    whenSettled(answer, () => {
      run.pending--
    })
    return answer
  }
  const wrapped = wrapBy(layer, counted)
  return (request, context = defaultContext()) => {
    const run: Run = { calls: 0, pending: 0 }
    const answer = wrapped(request, context.with(key, run))
    whenSettled(answer, () => {
      // Once the call has ended, an answer before the work's is what everybody wants.
      if (run.pending === 0 || context.ended) return
      warn(
        'SPILLWAY_NEXT_ABANDONED',
        `${name} answered before the next() that it called had come back, so that work goes on unseen and its failure is lost. An \`await\` or a \`return\` is missing before next().`,
      )
    })
    return answer
  }
}

/** Watches a promise, and nothing else: to ask a query of some database driver for its answer is to run it again. */
function whenSettled(answer: unknown, work: () => void): void {
  if (answer instanceof Promise) answer.then(work, work)
  else work()
}
