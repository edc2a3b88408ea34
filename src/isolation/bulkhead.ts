import { register } from '../core/mechanism.ts'
import { choiceOption, knownOptions, nameOption } from '../core/options.ts'
import { type Operated, operated } from '../internal/operated.ts'
import { type PlacesOptions, placesOptions } from './places.ts'
import { type HoldUntil, slotGate, slotQueue } from './slot-queue.ts'
import { Slots, type SlotsSnapshot } from './slots.ts'

export interface BulkheadOptions extends PlacesOptions {
  /** Names the policy in refusals, in `inspect()` and in metrics. @default 'bulkhead' */
  readonly name?: string
  /**
   * When a call gives its place back. `work`: when the handler has come to an end, though its caller may have been
   * told of a timeout before that. `answer`: when the caller has an answer; work that goes on is then not counted.
   * @default 'work'
   */
  readonly holdUntil?: HoldUntil
}

export type BulkheadSnapshot = SlotsSnapshot

/** A bulkhead: a middleware whose limits can be watched and changed. */
export interface Bulkhead extends Operated<PlacesOptions, BulkheadSnapshot> {}

/**
 * Lets `limit` calls run at a time, so that one slow dependency cannot take every connection and all the memory
 * with it. With a `queue`, some more wait for their turn: the most critical first, and nobody longer than its
 * deadline makes sense of.
 *
 * At most `limit` calls are ever in progress (more only for as long as those that were running when `update`
 * lowered the limit), and at most `queue` wait. A call in line is never refused for lack of room. Without a queue
 * it is a gate and costs next to nothing.
 */
export function bulkhead(options: BulkheadOptions): Bulkhead {
  knownOptions('bulkhead', options, ['name', 'holdUntil', ...placesOptions])
  const { name = 'bulkhead', holdUntil = 'work', ...places } = options
  nameOption('name', name)
  choiceOption('holdUntil', holdUntil, ['work', 'answer'])
  const slots = register(new Slots(name, places))
  return operated(
    (slots.queues ? slotQueue : slotGate)(name, holdUntil, () => slots),
    slots,
  )
}
