import type { Context } from '../core/context.ts'
import type { Protection } from '../core/handler.ts'
import { type Mechanism, register } from '../core/mechanism.ts'
import { choiceOption, functionOption, knownOptions, nameOption, numberOption } from '../core/options.ts'
import { announceSettings } from '../core/settings.ts'
import { operated } from '../internal/operated.ts'
import type { HotKeys } from './hot-keys.ts'
import { type PlacesOptions, placesOptions } from './places.ts'
import { type HoldUntil, slotGate, slotQueue } from './slot-queue.ts'
import { Slots, type SlotsSnapshot } from './slots.ts'

/** A lane for each key that is hot right now. */
export interface HotLaneOptions<Req = unknown> extends PlacesOptions {
  /** Finds the hot keys. Every call is counted in it. */
  readonly keys: HotKeys
  /** What a call is about; `undefined` for nothing in particular. */
  readonly key: (request: Req, context: Context) => string | undefined
  /** How many hot keys have a lane at a time; past that, one more shares the lane it would have had otherwise. @default 16 */
  readonly maxLanes?: number
}

export interface LanesOptions<Lane extends string, Req = unknown> {
  /** The lanes and what each may hold. */
  readonly lanes: Readonly<Record<Lane, PlacesOptions>>
  /** Which lane a call goes into. */
  readonly classify: (request: Req, context: Context) => NoInfer<Lane>
  /** Gives each hot key a lane of its own, so that it keeps nobody else waiting. @default none */
  readonly hot?: HotLaneOptions<Req>
  /** As for a bulkhead. @default 'work' */
  readonly holdUntil?: HoldUntil
  /** Names the policy; a lane is called `name/lane` in refusals. @default 'lanes' */
  readonly name?: string
}

/** What can be changed while calls are in flight: the limits of any lane, and of every hot lane. */
export interface LanesChanges<Lane extends string> {
  readonly lanes: Readonly<Partial<Record<Lane, Partial<PlacesOptions>>>>
  readonly hot: Partial<PlacesOptions>
}

export interface LanesSnapshot {
  readonly lanes: Readonly<Record<string, SlotsSnapshot>>
  /** The lanes of hot keys, by key. */
  readonly hot: Readonly<Record<string, SlotsSnapshot>>
}

export interface Lanes<Lane extends string, Req = unknown>
  extends Protection<Req>,
    Mechanism<LanesChanges<Lane>, LanesSnapshot> {}

/**
 * Divides calls into lanes with limits of their own: fast and slow, core and the rest, reads and writes. A lane
 * that is full refuses or queues its own calls and touches nobody else's.
 *
 * In each lane, and in each hot key's, at most its `limit` calls run and at most its `queue` wait.
 */
export function lanes<const Lane extends string, Req = unknown>(
  options: LanesOptions<Lane, Req>,
): Lanes<Lane, Req> {
  const set = register(new LaneSet(options))
  const until = choiceOption('holdUntil', options.holdUntil ?? 'work', ['work', 'answer'])
  const protection = (set.queues ? slotQueue : slotGate)(
    set.name,
    until,
    set.select.bind(set),
  ) as Protection<Req>
  return operated(protection, set)
}

class LaneSet<Lane extends string, Req> implements Mechanism<LanesChanges<Lane>, LanesSnapshot> {
  readonly kind: string = 'lanes'
  readonly name: string
  /** Whether any lane has a line. */
  readonly queues: boolean
  private readonly lanes: Map<string, Slots>
  private readonly classify: (request: Req, context: Context) => Lane
  private readonly hot: HotLanes<Req> | undefined

  constructor(options: LanesOptions<Lane, Req>) {
    knownOptions('lanes', options, ['lanes', 'classify', 'hot', 'holdUntil', 'name'])
    this.name = nameOption('name', options.name ?? 'lanes')
    this.classify = functionOption('classify', options.classify)
    const places = Object.entries<PlacesOptions>(options.lanes)
    if (places.length === 0) throw new TypeError('Expected `lanes` to have at least one lane, got none')
    const { hot } = options
    this.queues = [...places.map(([, lane]) => lane), hot].some(lane => (lane?.queue ?? 0) > 0)
    this.lanes = new Map(
      places.map(([lane, options]) => [
        lane,
        new Slots(`${this.name}/${lane}`, options, `lanes.${lane}.`, this.queues),
      ]),
    )
    this.hot = hot === undefined ? undefined : new HotLanes(`${this.name}/hot`, hot, this.queues)
  }

  select(request: Req, context: Context, now: number): Slots {
    const own = this.hot?.select(request, context, now)
    if (own !== undefined) return own
    const lane = this.classify(request, context)
    const slots = this.lanes.get(lane)
    if (slots !== undefined) return slots
    const known = [...this.lanes.keys()].join(', ')
    throw new TypeError(`Expected \`classify\` to return one of ${known}, got ${String(lane)}`)
  }

  update(changes: Partial<LanesChanges<Lane>>): void {
    knownOptions('lanes', changes, ['lanes', 'hot'])
    const changed = Object.entries<Partial<PlacesOptions> | undefined>(changes.lanes ?? {})
    knownOptions(this.name, changes.lanes ?? {}, [...this.lanes.keys()])
    // All of it is checked before any of it is done.
    for (const [lane, places] of changed) this.lanes.get(lane)!.changed(places ?? {}, `lanes.${lane}.`)
    if (changes.hot !== undefined) {
      if (this.hot === undefined) throw new TypeError('Expected no `hot`: these lanes were made without it')
      this.hot.update(changes.hot)
    }
    for (const [lane, places] of changed) this.lanes.get(lane)!.adopt(places ?? {})
    announceSettings(this, changes)
  }

  snapshot(): LanesSnapshot {
    return { lanes: snapshots(this.lanes), hot: snapshots(this.hot?.lanes ?? new Map()) }
  }

  reset(): void {
    for (const slots of this.lanes.values()) slots.reset()
    this.hot?.reset()
  }
}

/** The lanes of hot keys: made when one is needed, taken away from a key that has none in progress. */
class HotLanes<Req> {
  readonly lanes: Map<string, Slots>
  private readonly name: string
  private readonly keys: HotKeys
  private readonly key: (request: Req, context: Context) => string | undefined
  private readonly maxLanes: number
  private readonly queues: boolean
  private places: PlacesOptions

  constructor(name: string, options: HotLaneOptions<Req>, queues: boolean) {
    knownOptions('hot', options, ['keys', 'key', 'maxLanes', ...placesOptions])
    const { keys, key, maxLanes = 16, ...places } = options
    functionOption('hot.keys.touch', keys?.touch)
    this.name = name
    this.keys = keys
    this.key = functionOption('hot.key', key)
    this.maxLanes = numberOption('hot.maxLanes', maxLanes, { min: 1, integer: true })
    this.queues = queues
    this.lanes = new Map()
    this.places = new Slots(name, places, 'hot.', queues).changed({}, 'hot.')
  }

  select(request: Req, context: Context, now: number): Slots | undefined {
    const key = this.key(request, context)
    if (key === undefined || !this.keys.touch(key, now)) return undefined
    const held = this.lanes.get(key)
    if (held !== undefined) return held
    if (this.lanes.size >= this.maxLanes && !this.makeRoom()) return undefined
    const slots = new Slots(this.name, this.places, 'hot.', this.queues)
    this.lanes.set(key, slots)
    return slots
  }

  update(changes: Partial<PlacesOptions>): void {
    this.places = new Slots(this.name, this.places, 'hot.', this.queues).changed(changes, 'hot.')
    for (const slots of this.lanes.values()) slots.adopt(changes)
  }

  reset(): void {
    this.keys.reset()
    for (const slots of this.lanes.values()) slots.reset()
  }

  private makeRoom(): boolean {
    for (const [key, slots] of this.lanes) {
      if (slots.idle) return this.lanes.delete(key)
    }
    return false
  }
}

function snapshots(lanes: ReadonlyMap<string, Slots>): Record<string, SlotsSnapshot> {
  return Object.fromEntries([...lanes].map(([name, slots]) => [name, slots.snapshot()]))
}
