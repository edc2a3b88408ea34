import { getEventListeners } from 'node:events'
import type { Clock } from '../core/clock.ts'
import type { Context } from '../core/context.ts'
import type { Mechanism } from '../core/mechanism.ts'
import { knownOptions } from '../core/options.ts'

export interface SettledOptions {
  /** No alarm may be armed on it. */
  readonly clock?: Clock & { readonly armed: number; flush?(): Promise<void> }
  /** Nobody may listen to them any more. */
  readonly signals?: readonly AbortSignal[]
  /** No call may still be going on in them. */
  readonly contexts?: readonly Context[]
  /** Nothing may be in flight in them: no number above 0 in their snapshots under a name that says so. */
  readonly mechanisms?: readonly (Pick<Mechanism, 'name' | 'snapshot'> & { readonly kind?: string })[]
}

/** What mechanisms call the calls that they have not seen the end of. */
const unfinished = /^(inFlight|active|queued|waiting|pending|running|held)$/

// As it was when this was loaded: a test that fakes timers as well must still be able to wait.
const { setImmediate: nextTurn } = globalThis

/**
 * Checks that calls have left nothing behind, after all that is ready to run has run. Throws an error that lists
 * what is left.
 */
export async function settled(options: SettledOptions): Promise<void> {
  knownOptions('settled', options, ['clock', 'signals', 'contexts', 'mechanisms'])
  const { clock, signals = [], contexts = [], mechanisms = [] } = options
  if (clock?.flush !== undefined) await clock.flush()
  else await new Promise(resolve => nextTurn(resolve))

  const left: string[] = []
  if (clock !== undefined && clock.armed > 0) left.push(`the clock has ${count(clock.armed, 'alarm')} armed`)
  for (const [i, signal] of signals.entries()) {
    const listeners = getEventListeners(signal, 'abort').length
    if (listeners > 0) left.push(`signals[${i}] has ${count(listeners, 'listener')}`)
  }
  for (const [i, { scope }] of contexts.entries()) {
    if (scope.busy) left.push(`contexts[${i}] still bounds a call, or a signal of it is still waited for`)
  }
  for (const { kind, name, snapshot } of mechanisms.map(described)) {
    for (const [field, value] of countsIn(snapshot)) left.push(`${kind} '${name}' has ${field} ${value}`)
  }
  if (left.length === 0) return
  throw new Error(`Expected everything to be settled, but:\n${left.map(line => `- ${line}`).join('\n')}`)
}

function described(mechanism: NonNullable<SettledOptions['mechanisms']>[number]): {
  readonly kind: string
  readonly name: string
  readonly snapshot: object
} {
  return { kind: mechanism.kind ?? 'mechanism', name: mechanism.name, snapshot: mechanism.snapshot() }
}

/** Every number above 0 whose name says that something is not finished, with the path to it. */
function* countsIn(value: object, path = ''): Generator<readonly [field: string, value: number]> {
  for (const [key, held] of value instanceof Map ? value : Object.entries(value)) {
    const field = path === '' ? String(key) : `${path}.${String(key)}`
    if (typeof held === 'number' && held > 0 && unfinished.test(String(key))) yield [field, held]
    if (typeof held === 'object' && held !== null) yield* countsIn(held as object, field)
  }
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}
