/**
 * One answer from many modules, asked at the same time.
 *
 *   page      |------------- what the caller leaves ------------|
 *   modules   |-------------------------------------|  reserve
 *   a module  |------ timeoutMs ------| its fallback
 *
 * Whatever has not come when the reserve begins is left out, so that the page is there before its deadline. Where a
 * module has a fallback, time for that is kept of the page's.
 */
import { callWithin } from '../core/ambient.ts'
import {
  type DegradedPart,
  degradedParts,
  markDegraded,
  separateAnswerFields,
} from '../core/answer-fields.ts'
import { chain } from '../core/chain.ts'
import { type Context, openContext } from '../core/context.ts'
import type { Call, Handler } from '../core/handler.ts'
import { type Mechanism, register } from '../core/mechanism.ts'
import { knownOptions, nameOption, numberOption } from '../core/options.ts'
import { announceSettings } from '../core/settings.ts'
import { endedAlready } from '../internal/ended.ts'
import { operated } from '../internal/operated.ts'
import { overlay } from '../internal/overlay.ts'
import { attempt, settleWithin } from '../internal/settle-within.ts'
import { degraded } from './events.ts'
import { type Module, moduleHandler } from './module.ts'

/** Modules by name. One without settings is just its handler. */
export type Modules = Readonly<Record<string, Handler<any, any> | Module>>

type HandlerOf<M> = M extends { readonly handler: infer H } ? H : M

/** What a module answers. */
export type ModuleAnswer<M> = HandlerOf<M> extends Handler<any, infer Res> ? Res : never

type Takes<M> = HandlerOf<M> extends Handler<infer Req, any> ? (request: Req) => void : never

/** What a page is asked: what all of its modules can be asked. */
export type PageRequest<Required extends Modules, Optional extends Modules> =
  | Takes<Required[keyof Required]>
  | Takes<Optional[keyof Optional]> extends (request: infer Req) => void
  ? Req
  : unknown

export interface AssembleOptions<Required extends Modules, Optional extends Modules> {
  /** Without these there is no page. @default none */
  readonly required?: Required
  /** The page can do without these. @default none */
  readonly optional?: Optional
  /** What is kept of the caller's time to put the answer together and send it. @default 20 */
  readonly reserveMs?: number
  /** What is kept of the page's time for the fallback of a module, but half of it at most. @default 50 */
  readonly fallbackMs?: number
  /** @default 'assemble' */
  readonly name?: string
}

/** What has come of the modules. */
export interface Assembly<Required extends Modules, Optional extends Modules> {
  /** The answers, by module. */
  readonly data: { readonly [K in keyof Required]: ModuleAnswer<Required[K]> } & {
    readonly [K in keyof Optional]?: ModuleAnswer<Optional[K]>
  }
  /** The modules that the answer has to do without. */
  readonly missing: readonly (keyof Optional & string)[]
  /**
   * The modules for which something else stood in, an old copy or a default; and as `module/part` what a module
   * itself had to do without.
   */
  readonly degraded: readonly DegradedPart[]
}

interface Limits {
  readonly reserveMs: number
  readonly fallbackMs: number
}

export interface ModuleSnapshot {
  readonly fresh: number
  readonly degraded: number
  readonly missing: number
}

export interface AssembleSnapshot extends Limits {
  readonly pages: number
  /** Pages that failed, for want of a module that is required or because the caller went away. */
  readonly failed: number
  readonly modules: Readonly<Record<string, ModuleSnapshot>>
}

/** A page: a handler that can be called, protected like any other, watched and changed. */
export type Assemble<Required extends Modules, Optional extends Modules> = Call<
  PageRequest<Required, Optional>,
  Assembly<Required, Optional>
> &
  Mechanism<Limits, AssembleSnapshot>

/**
 * Asks modules in parallel and answers with what has come, in time. The answer names what is missing and what is
 * not as it should be, and so does the `x-degraded` field of the response. A module that is required and fails
 * fails the page at once, with its error, and what the others still do is cancelled.
 */
export function assemble<
  const Required extends Modules = Record<never, never>,
  const Optional extends Modules = Record<never, never>,
>(options: AssembleOptions<Required, Optional>): Assemble<Required, Optional> {
  const page = register(new Page(options))
  const call = chain()((request, context) => page.make(request, context))
  return operated(call, page) as unknown as Assemble<Required, Optional>
}

interface Slot {
  readonly name: string
  readonly required: boolean
  readonly handler: Handler<any, any>
  fresh: number
  degraded: number
  missing: number
}

/** What has come of one module of one page. */
type Outcome =
  | { readonly value: unknown; readonly parts: readonly DegradedPart[] }
  | { readonly error: unknown }

class Page implements Mechanism<Limits, AssembleSnapshot> {
  readonly kind: string = 'assemble'
  readonly name: string
  private readonly slots: readonly Slot[]
  private limits: Limits
  private pages: number
  private failed: number

  constructor(options: AssembleOptions<Modules, Modules>) {
    knownOptions('assemble', options, ['required', 'optional', 'reserveMs', 'fallbackMs', 'name'])
    this.name = nameOption('name', options.name ?? 'assemble')
    this.limits = checkLimits(options.reserveMs ?? 20, options.fallbackMs ?? 50)
    const { required = {}, optional = {} } = options
    const twice = Object.keys(required).find(name => Object.hasOwn(optional, name))
    if (twice !== undefined) {
      throw new TypeError(`Expected each module once, got \`${twice}\` as required and as optional`)
    }
    this.slots = [...this.slotsOf(required, true), ...this.slotsOf(optional, false)]
    this.pages = 0
    this.failed = 0
  }

  async make(request: unknown, caller: Context): Promise<Assembly<any, any>> {
    const ended = endedAlready(caller)
    if (ended !== undefined) return ended
    this.pages++
    const timeoutMs = Math.max(0, caller.remainingMs - this.limits.reserveMs)
    const { context, cancel, close } = openContext({ parent: caller, timeoutMs })
    try {
      const outcomes = await Promise.all(
        this.slots.map(async (slot): Promise<Outcome> => {
          const own = separateAnswerFields(context)
          try {
            const work = attempt(() => callWithin(own, slot.handler, request))
            return { value: await settleWithin(context, work), parts: degradedParts(own) }
          } catch (error) {
            if (slot.required || caller.ended) throw error
            return { error }
          }
        }),
      )
      return this.put(outcomes, caller)
    } catch (error) {
      this.failed++
      // Nobody needs what the other modules are still working on.
      cancel()
      throw error
    } finally {
      close()
    }
  }

  update(changes: Partial<Limits>): void {
    knownOptions('assemble', changes, ['reserveMs', 'fallbackMs'])
    const { reserveMs, fallbackMs } = overlay(this.limits, changes)
    this.limits = checkLimits(reserveMs, fallbackMs)
    announceSettings(this, changes)
  }

  snapshot(): AssembleSnapshot {
    const modules = this.slots.map(({ name, fresh, degraded, missing }) => [
      name,
      { fresh, degraded, missing },
    ])
    return { ...this.limits, pages: this.pages, failed: this.failed, modules: Object.fromEntries(modules) }
  }

  reset(): void {
    this.pages = 0
    this.failed = 0
    for (const slot of this.slots) Object.assign(slot, { fresh: 0, degraded: 0, missing: 0 })
  }

  /** Puts the page together, and says what it is made without. */
  private put(outcomes: readonly Outcome[], caller: Context): Assembly<any, any> {
    const data: Record<string, unknown> = {}
    const missing: string[] = []
    const degradedOnes: DegradedPart[] = []
    for (const [i, outcome] of outcomes.entries()) {
      const slot = this.slots[i]!
      const { name } = slot
      if ('error' in outcome) {
        slot.missing++
        missing.push(name)
        markDegraded(caller, name)
        if (degraded.active) {
          const { error } = outcome
          degraded.emit({ policy: this.name, part: name, source: 'missing', ageMs: undefined, error })
        }
        continue
      }
      data[name] = outcome.value
      if (outcome.parts.length === 0) slot.fresh++
      else slot.degraded++
      for (const { part, ...how } of outcome.parts) {
        // What stood in for the module goes by the module's name; what the module does without goes below it.
        const own = how.source === 'missing' ? `${name}/${part}` : name
        if (degradedOnes.some(other => other.part === own)) continue
        degradedOnes.push({ part: own, ...how })
        markDegraded(caller, own, how)
      }
    }
    return { data, missing, degraded: degradedOnes }
  }

  private slotsOf(modules: Modules, required: boolean): Slot[] {
    return Object.entries(modules).map(([name, module]) => ({
      name,
      required,
      handler: moduleHandler(name, module, () => this.limits.fallbackMs),
      fresh: 0,
      degraded: 0,
      missing: 0,
    }))
  }
}

function checkLimits(reserveMs: number, fallbackMs: number): Limits {
  return {
    reserveMs: numberOption('reserveMs', reserveMs, { min: 0 }),
    fallbackMs: numberOption('fallbackMs', fallbackMs, { min: 0 }),
  }
}
