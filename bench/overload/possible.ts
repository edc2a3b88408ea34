/** What can be served at most of a load that is too much: what is left once all others have had a bare 503. */
import type { BareRefusal } from './costs.ts'
import type { Capacity } from './curves.ts'
import { type HandlerName, handlers } from './handlers.ts'

/**
 * The greatest part g of the capacity C that a core can serve at `load` times C, when it does nothing else but refuse:
 *
 *   g·C·s + (load - g)·C·r <= 1      s: seconds of the loop to serve one request; r: to refuse one with a bare 503
 *
 * Both on a core that is as fast as it was at the point, which its capacity and the cost of a refusal need not have been
 * measured on: what computes by the clock takes as long on any core, and all else as much longer as the core is slower.
 */
export function possibleAt(
  load: number,
  handler: HandlerName,
  capacity: Capacity,
  refusals: BareRefusal,
  speed: number = capacity.speed,
): number {
  const { perSecond, use } = capacity
  const { bodyBytes, computesMs } = handlers[handler]
  const bareMs = bodyBytes === undefined ? refusals.bareMs : refusals.barePostMs
  const refusing = (perSecond / 1_000) * bareMs * (refusals.speed / speed)
  const computing = Math.min(use, (perSecond / 1_000) * computesMs)
  const serving = computing + (use - computing) * (capacity.speed / speed)
  return Math.min(1, Math.max(0, 1 - load * refusing) / Math.max(0.01, serving - refusing))
}
