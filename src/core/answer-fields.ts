import type { Context } from './context.ts'
import { createContextKey } from './context-key.ts'

/** The fields of one answer, by lower-case name. Filled by the parts of a chain, written by the transport. */
type Fields = Map<string, string>

/** A part of an answer that is not what it should be. */
export interface DegradedPart {
  readonly part: string
  /** What stands in its place: a copy from earlier, something that is always at hand, or nothing. */
  readonly source: 'stale' | 'default' | 'missing'
  /** How old a copy is. */
  readonly ageMs?: number | undefined
}

/** What a chain says about the answer that it is making, besides the answer. Most of the time, nothing. */
class Notes {
  /** Told of each field at once, with all of its values so far. */
  readonly write: ((name: string, value: string) => void) | undefined
  private held: Fields | undefined
  private parts: DegradedPart[] | undefined

  constructor(write: ((name: string, value: string) => void) | undefined) {
    this.write = write
    this.held = undefined
    this.parts = undefined
  }

  get fields(): Fields {
    this.held ??= new Map()
    return this.held
  }

  get degraded(): DegradedPart[] {
    this.parts ??= []
    return this.parts
  }
}

const key = createContextKey<Notes | undefined>('answer fields', undefined)

/**
 * @internal For transports: a context whose answer can be added to, and the fields to write when it is sent.
 * The map is the same one for the whole call, refused or not.
 */
export function collectAnswerFields(context: Context): {
  readonly context: Context
  readonly fields: Fields
} {
  const notes = new Notes(undefined)
  return { context: context.with(key, notes), fields: notes.fields }
}

/** @internal A context whose answer is not the caller's: what is said about it stays with it. */
export function separateAnswerFields(context: Context): Context {
  return context.with(key, new Notes(undefined))
}

/** @internal Like `collectAnswerFields`, for transports that write each field when it is added, the whole of its value each time. */
export function writeAnswerFields(context: Context, write: (name: string, value: string) => void): Context {
  return context.with(key, new Notes(write))
}

/**
 * Adds a header field (a trailer in gRPC) to the answer of the call: how much of a limit is left, which parts of
 * a page are missing. Values under one name become a list. Outside a transport, and once the answer has been
 * sent, it does nothing.
 */
export function addAnswerField(context: Context, name: string, value: string): void {
  const notes = context.get(key)
  if (notes === undefined) return
  const { fields } = notes
  const lower = name.toLowerCase()
  const held = fields.get(lower)
  const all = held === undefined ? value : `${held}, ${value}`
  fields.set(lower, all)
  notes.write?.(lower, all)
}

/** Whether anybody is going to send what is added, and so whether it is worth putting together. */
export function hasAnswerFields(context: Context): boolean {
  return context.get(key) !== undefined
}

/** Says in the answer that it came without `part`, or with an old copy of it: `x-degraded: reviews, ads`. */
export function markDegraded(
  context: Context,
  part: string,
  how: Omit<DegradedPart, 'part'> = { source: 'missing' },
): void {
  const notes = context.get(key)
  if (notes === undefined || notes.degraded.some(held => held.part === part)) return
  notes.degraded.push({ part, ...how })
  // What a header cannot carry must not make the whole answer fail.
  addAnswerField(context, 'x-degraded', part.replaceAll(/[^\w.:/-]/g, '_'))
}

/** The parts that `markDegraded` has named for this answer so far, in that order. */
export function degradedParts(context: Context): readonly DegradedPart[] {
  return context.get(key)?.degraded ?? []
}

/**
 * @internal For what makes one answer for several callers: adds everything said about it in `from` to the answer
 * of `to`.
 */
export function passAnswerFields(from: Context, to: Context): void {
  const notes = from.get(key)
  if (notes === undefined) return
  for (const { part, ...how } of notes.degraded) markDegraded(to, part, how)
  for (const [name, value] of notes.fields) {
    if (name !== 'x-degraded') addAnswerField(to, name, value)
  }
}
