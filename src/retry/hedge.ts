import { layer } from '../core/chain.ts'
import type { Handler, Protection } from '../core/handler.ts'
import { checkHedge, type HedgeOptions, type HedgeSettings } from './hedge-options.ts'
import { Race } from './race.ts'

/**
 * Makes a call a second time, beside the first, when that one takes longer than almost all others do, and answers
 * with whichever comes first (Dean and Barroso, "The Tail at Scale", 2013). With the delay at the 95th percentile
 * one call in twenty is made twice, and only where the backend's budget bears it.
 *
 * Only what may be made twice is hedged. Stands where `retry` would: one of the two, not both.
 */
export function hedge<Req = unknown>(options: HedgeOptions<Req> = {}): Protection<Req> {
  const settings = checkHedge(options)
  const warning =
    options.idempotent === undefined
      ? 'no rule says which calls may be made twice, so only those are hedged whose context says that they are idempotent. Give `idempotent`; `(_, context) => context.idempotent` if that is what you mean'
      : undefined
  return layer<Req>({ kind: 'hedge', name: settings.name, repeats: true, warning }, next =>
    hedged(settings, next),
  )
}

function hedged<Req, Res>(settings: HedgeSettings, next: Handler<Req, Res>): Handler<Req, Res> {
  const { attempts, delayMs, latencies, idempotent, budget } = settings
  if (attempts === 1 || delayMs === Infinity) return next
  return (request, context) => {
    const may =
      idempotent === undefined
        ? context.idempotent
        : typeof idempotent === 'boolean'
          ? idempotent
          : idempotent(request, context)
    if (!may) return next(request, context)
    budget?.deposit(context.clock.now(), 1)
    const delay = delayMs ?? latencies?.value ?? Infinity
    return new Race(settings, next, request, context, delay).run()
  }
}
