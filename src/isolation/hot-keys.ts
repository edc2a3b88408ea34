/**
 * The keys that most of the traffic goes to, found while it passes, in memory that does not grow with the number
 * of keys. SpaceSaving (Metwally, Agrawal and El Abbadi, ICDT 2005) with weights that decay (forward decay, Cormode
 * et al., ICDE 2009).
 *
 *   w = 2^((t - L) / h)              weight of a call at t; h is the half-life, L a landmark in the past
 *   a key that is tracked            count += w
 *   a key that is not                takes the place of the key with the smallest count m:
 *                                    count = m + w, error = m
 *   W                                the weight of all calls; n the number of places
 *
 * Dividing by 2^((now - L) / h) gives every number as of now, where a call counts half once it is h old. For each
 * key with true weight c:
 *
 *   tracked:      count - error <= c <= count, and error <= W / n
 *   not tracked:  c <= W / n
 *
 * So a key is called hot only if count - error, which it surely has, is a share of `hotShare` of W; and a key with
 * more than hotShare + 1/n of W is always called hot.
 */
import { type Mechanism, register } from '../core/mechanism.ts'
import { knownOptions, nameOption, numberOption } from '../core/options.ts'
import { announceSettings } from '../core/settings.ts'
import { overlay } from '../internal/overlay.ts'

export interface HotKeysOptions {
  /** The share of all calls, 0 to 1, from which a key is hot. @default 0.1 */
  readonly hotShare?: number
  /** A key below this rate is not hot, whatever its share: on an idle service every key is. @default 10 */
  readonly minPerSecond?: number
  /** After how long a call counts half. @default 10000 */
  readonly halfLifeMs?: number
  /** How many keys are tracked. Shares are exact to 1 / capacity. @default 256 */
  readonly capacity?: number
  /** @default 'hot-keys' */
  readonly name?: string
}

/** A key that is tracked, and what is known of its traffic. */
export interface HotKey {
  readonly key: string
  /** At most this many calls a second. */
  readonly perSecond: number
  /** At least this many calls a second. */
  readonly atLeastPerSecond: number
  /** At most this share of all calls. */
  readonly share: number
  /** At least this share of all calls. */
  readonly atLeastShare: number
}

export interface HotKeysSnapshot extends Required<Omit<HotKeysOptions, 'name'>> {
  /** How many keys are tracked now. */
  readonly tracked: number
  readonly perSecond: number
}

export interface HotKeys extends Mechanism<Omit<HotKeysOptions, 'name' | 'capacity'>, HotKeysSnapshot> {
  /** Counts a call for `key` and says whether the key is hot. */
  touch(key: string, now: number): boolean
  /** Whether `key` is hot, without counting anything. */
  isHot(key: string, now: number): boolean
  /** Every key that is hot, the hottest first. */
  hot(now: number): readonly HotKey[]
  /** The keys with the most traffic, hot or not. */
  top(count: number, now: number): readonly HotKey[]
}

/** Finds the keys that most of the traffic goes to, so that they can be cached or given a lane of their own. */
export function hotKeys(options: HotKeysOptions = {}): HotKeys {
  return register(new SpaceSaving(options))
}

const changeable = ['hotShare', 'minPerSecond', 'halfLifeMs'] as const
/** Weights are brought back to 1 after this many half-lives, long before they could overflow. */
const RESCALE_AFTER = 64

class SpaceSaving implements HotKeys {
  readonly kind: string = 'hot-keys'
  readonly name: string
  private readonly capacity: number
  private hotShare: number
  private minPerSecond: number
  private halfLifeMs: number
  private landmark: number
  private total: number
  /** The last time seen, for a snapshot. */
  private latest: number
  private readonly places: Map<string, number>
  private readonly keys: string[]
  private readonly counts: Float64Array
  private readonly errors: Float64Array
  /** A heap of places, the smallest count on top, and where in it each place stands. */
  private readonly heap: Int32Array
  private readonly standing: Int32Array

  constructor(options: HotKeysOptions) {
    knownOptions('hotKeys', options, [...changeable, 'capacity', 'name'])
    this.name = nameOption('name', options.name ?? 'hot-keys')
    this.capacity = numberOption('capacity', options.capacity ?? 256, {
      min: 1,
      max: 1_000_000,
      integer: true,
    })
    this.hotShare = 0
    this.minPerSecond = 0
    this.halfLifeMs = 0
    this.landmark = 0
    this.total = 0
    this.latest = 0
    this.places = new Map()
    this.keys = []
    this.counts = new Float64Array(this.capacity)
    this.errors = new Float64Array(this.capacity)
    this.heap = new Int32Array(this.capacity)
    this.standing = new Int32Array(this.capacity)
    this.set(overlay({ hotShare: 0.1, minPerSecond: 10, halfLifeMs: 10_000 }, options))
  }

  touch(key: string, now: number): boolean {
    const weight = this.weightAt(now)
    this.total += weight
    let place = this.places.get(key)
    if (place === undefined) {
      const size = this.keys.length
      if (size < this.capacity) {
        place = size
        this.heap[size] = place
        this.standing[place] = size
      } else {
        place = this.heap[0]!
        this.places.delete(this.keys[place]!)
        this.errors[place] = this.counts[place]!
      }
      this.keys[place] = key
      this.places.set(key, place)
    }
    this.counts[place]! += weight
    if (this.keys.length > 1) this.settle(place)
    return this.isHotAt(place, weight)
  }

  isHot(key: string, now: number): boolean {
    const place = this.places.get(key)
    return place !== undefined && this.isHotAt(place, this.weightAt(now))
  }

  hot(now: number): readonly HotKey[] {
    const weight = this.weightAt(now)
    return this.list(place => this.isHotAt(place, weight), weight)
  }

  top(count: number, now: number): readonly HotKey[] {
    return this.list(() => true, this.weightAt(now)).slice(0, count)
  }

  update(options: Partial<Omit<HotKeysOptions, 'name' | 'capacity'>>): void {
    knownOptions('hotKeys', options, changeable)
    this.set(overlay(this.settings(), options))
    announceSettings(this, options)
  }

  snapshot(): HotKeysSnapshot {
    const perSecond = this.total * this.perSecondAt(this.weightAt(this.latest))
    return { ...this.settings(), capacity: this.capacity, tracked: this.keys.length, perSecond }
  }

  reset(): void {
    this.total = 0
    this.places.clear()
    this.keys.length = 0
    this.counts.fill(0)
    this.errors.fill(0)
  }

  private settings(): Required<Pick<HotKeysOptions, (typeof changeable)[number]>> {
    return { hotShare: this.hotShare, minPerSecond: this.minPerSecond, halfLifeMs: this.halfLifeMs }
  }

  private set(options: HotKeysOptions): void {
    const hotShare = numberOption('hotShare', options.hotShare, { min: 0, max: 1, above: true })
    const minPerSecond = numberOption('minPerSecond', options.minPerSecond, { min: 0 })
    const halfLifeMs = numberOption('halfLifeMs', options.halfLifeMs, { min: 0, above: true })
    this.hotShare = hotShare
    this.minPerSecond = minPerSecond
    if (halfLifeMs === this.halfLifeMs) return
    // What has been counted stays as it is at this moment, and decays at the new pace from here on.
    if (this.halfLifeMs > 0) this.rescale(this.latest)
    this.halfLifeMs = halfLifeMs
  }

  /** The weight of a call at `now`; a clock that goes back counts as one that stands still. */
  private weightAt(now: number): number {
    if (now > this.latest) this.latest = now
    const halfLives = (this.latest - this.landmark) / this.halfLifeMs
    if (halfLives <= RESCALE_AFTER) return 2 ** halfLives
    this.rescale(this.latest)
    return 1
  }

  /** Makes `now` the landmark. */
  private rescale(now: number): void {
    const factor = 2 ** ((this.landmark - now) / this.halfLifeMs)
    this.total *= factor
    for (let place = 0; place < this.keys.length; place++) {
      this.counts[place]! *= factor
      this.errors[place]! *= factor
    }
    this.landmark = now
  }

  /** What one unit of weight is worth in calls a second: n a second, all decaying, add up to n * h / ln 2. */
  private perSecondAt(weight: number): number {
    return (Math.LN2 * 1000) / (this.halfLifeMs * weight)
  }

  private isHotAt(place: number, weight: number): boolean {
    const sure = this.counts[place]! - this.errors[place]!
    return sure >= this.hotShare * this.total && sure * this.perSecondAt(weight) >= this.minPerSecond
  }

  private list(wanted: (place: number) => boolean, weight: number): HotKey[] {
    const rate = this.perSecondAt(weight)
    const share = this.total > 0 ? 1 / this.total : 0
    return this.keys
      .map((key, place) => ({
        key,
        place,
        count: this.counts[place]!,
        sure: this.counts[place]! - this.errors[place]!,
      }))
      .filter(({ place }) => wanted(place))
      .sort((a, b) => b.count - a.count)
      .map(({ key, count, sure }) => ({
        key,
        perSecond: count * rate,
        atLeastPerSecond: sure * rate,
        share: count * share,
        atLeastShare: sure * share,
      }))
  }

  /** Moves a place whose count has changed to where it belongs: down if it grew, up if it is new. */
  private settle(place: number): void {
    const { heap, counts, standing } = this
    const size = this.keys.length
    const count = counts[place]!
    let at = standing[place]!
    for (let parent = (at - 1) >> 1; at > 0 && counts[heap[parent]!]! > count; parent = (at - 1) >> 1) {
      heap[at] = heap[parent]!
      standing[heap[at]!] = at
      at = parent
    }
    for (let child = 2 * at + 1; child < size; child = 2 * at + 1) {
      if (child + 1 < size && counts[heap[child + 1]!]! < counts[heap[child]!]!) child++
      if (counts[heap[child]!]! >= count) break
      heap[at] = heap[child]!
      standing[heap[at]!] = at
      at = child
    }
    heap[at] = place
    standing[place] = at
  }
}
