import type { Context } from './context.ts'
import { createContextKey } from './context-key.ts'

/** The fields of one answer, by lower-case name. Filled by the parts of a chain, written by the transport. */
type Fields = Map<string, string>

const key = createContextKey<Fields | undefined>('answer fields', undefined)

/**
 * @internal For transports: a context whose answer can be added to, and the fields to write when it is sent.
 * The map is the same one for the whole call, refused or not.
 */
export function collectAnswerFields(context: Context): {
  readonly context: Context
  readonly fields: Fields
} {
  const fields: Fields = new Map()
  return { context: context.with(key, fields), fields }
}

/**
 * Adds a header field (a trailer in gRPC) to the answer of the call: how much of a limit is left, which parts of
 * a page are missing. Values under one name become a list. Outside a transport, and once the answer has been
 * sent, it does nothing.
 */
export function addAnswerField(context: Context, name: string, value: string): void {
  const fields = context.get(key)
  if (fields === undefined) return
  const lower = name.toLowerCase()
  const held = fields.get(lower)
  fields.set(lower, held === undefined ? value : `${held}, ${value}`)
}

/** Says in the answer that it came without `part`, or with an old copy of it: `x-degraded: reviews, ads`. */
export function markDegraded(context: Context, part: string): void {
  addAnswerField(context, 'x-degraded', part)
}
