/**
 * A fixed number of places, and a bounded line in front of them.
 *
 *   a place that is given back goes straight to the next in line: the number of places in use does not drop
 *   next in line: the most critical; among equals the first to come, or the last to come once the first has
 *                 stood there for longer than lifoAfter
 *   s = exp(mean(ln d)): what a call takes, from durations d, older ones counting for less and less (the
 *       geometric mean is near the median of what services do, so a few slow calls do not move it)
 *   a waiter with less than s left before its deadline is dropped: the place would be wasted on it
 *
 * Why hand over directly: a place that is free for one turn of the event loop can be taken by a newcomer, and the
 * call that had waited for it is refused. Why the last first: once a line is old, those at its head have mostly
 * been given up by whoever sent them (Maurer, "Fail at Scale", ACM Queue 13/8, 2015).
 */
import type { Criticality } from '../core/criticality.ts'
import { criticalities } from '../core/criticality.ts'
import type { Mechanism } from '../core/mechanism.ts'
import { knownOptions } from '../core/options.ts'
import { deadlineExceeded, Rejection } from '../core/rejection.ts'
import { announceSettings } from '../core/settings.ts'
import { type InLine, Line } from '../internal/line.ts'
import { overlay } from '../internal/overlay.ts'
import { checkPlaces, type PlacesOptions, placesOptions } from './places.ts'

/** What `snapshot()` says of a set of places. */
export interface SlotsSnapshot extends Required<PlacesOptions> {
  /** Places in use. */
  readonly active: number
  readonly waiting: number
  /** Calls let in, at once or after a wait. */
  readonly admitted: number
  /** Calls refused because the places and the line were full. */
  readonly refused: number
  /** Calls that waited as long as they were allowed to. */
  readonly expired: number
  /** Calls dropped because their deadline left no time for the work. */
  readonly dropped: number
  /** Calls whose caller went away, or whose deadline came, while they waited. */
  readonly left: number
  /** What a call takes, in milliseconds; 0 before the first has come back, and where nobody can wait. */
  readonly serviceMs: number
}

/** A call in line. */
export interface Waiter extends InLine<Waiter> {
  readonly since: number
  readonly deadline: number
  /** A place is yours. */
  enter(): void
  /** You will not be served. */
  refuse(rejection: Rejection): void
}

/** How far one more call moves the estimate of what a call takes. */
const GAIN = 1 / 16
/** Durations below this are as good as nothing, and their logarithm would outweigh every other. */
const SHORTEST_MS = 0.01

export class Slots implements Mechanism<PlacesOptions, SlotsSnapshot> {
  readonly kind: string = 'bulkhead'
  readonly name: string
  /** Whether it can have a line. */
  readonly queues: boolean
  /** Called when the last call has given its place back. */
  onIdle: (() => void) | undefined
  private settings: Required<PlacesOptions>
  private limit: number
  private active: number
  private waiting: number
  private readonly lines: readonly Line<Waiter>[]
  /** The mean of the logarithms of durations. */
  private service: number
  private admitted: number
  private refused: number
  private expired: number
  private dropped: number
  private left: number

  constructor(name: string, options: PlacesOptions, path = '', queues?: boolean) {
    const settings = checkPlaces(name, options, path)
    this.name = name
    this.queues = queues ?? settings.queue > 0
    this.onIdle = undefined
    this.settings = settings
    this.limit = settings.limit
    this.active = 0
    this.waiting = 0
    this.lines = criticalities.map(() => new Line())
    this.service = -Infinity
    this.admitted = 0
    this.refused = 0
    this.expired = 0
    this.dropped = 0
    this.left = 0
  }

  get present(): Required<PlacesOptions> {
    return this.settings
  }

  /** Whether nobody is in or waits to get in. */
  get idle(): boolean {
    return this.active === 0 && this.waiting === 0
  }

  /** Takes a place if there is one. */
  take(): boolean {
    if (this.active >= this.limit) return false
    this.active++
    this.admitted++
    return true
  }

  /** The refusal of a call for which there is no place, and no place in line. */
  full(): Rejection {
    this.refused++
    return this.refusal('full')
  }

  /** Puts a call for which there is no place in line, or says why not. */
  join(waiter: Waiter, criticality: Criticality, now: number): Rejection | undefined {
    if (this.waiting >= this.settings.queue) return this.full()
    if (this.hopeless(waiter, now)) return this.drop(waiter, now)
    this.lines[criticalities.indexOf(criticality)]!.push(waiter)
    this.waiting++
    return undefined
  }

  /** A waiter goes away by itself. */
  leave(waiter: Waiter): void {
    this.unlink(waiter)
    this.left++
  }

  /** A waiter has waited as long as it may. */
  expire(waiter: Waiter): Rejection {
    this.unlink(waiter)
    this.expired++
    return this.refusal(`no place within ${this.settings.maxWaitMs} ms`)
  }

  /** Gives a place back. `tookMs` is left out where it says nothing about how long a call takes. */
  release(now: number, tookMs?: number): void {
    if (tookMs !== undefined && this.queues) this.measure(tookMs)
    this.handOver(now)
  }

  /** Gives a place back that came too late: whoever waited for it had gone. */
  cede(now: number): void {
    if (this.admitted > 0) this.admitted--
    this.left++
    this.handOver(now)
  }

  /** What the settings would be after `changes`; throws if they cannot be. */
  changed(changes: Partial<PlacesOptions>, path = ''): Required<PlacesOptions> {
    knownOptions(this.name, changes, placesOptions)
    const settings = checkPlaces(this.name, overlay(this.settings, changes), path)
    if (settings.queue === 0 || this.queues) return settings
    throw new TypeError(
      `Expected \`${path}queue\` to stay 0: ${this.name} was made without a queue, as a gate that cannot wait`,
    )
  }

  update(changes: Partial<PlacesOptions>): void {
    this.adopt(changes)
    announceSettings(this, changes)
  }

  /** Changes settings without a word: for one that has others behind it, and speaks for them. */
  adopt(changes: Partial<PlacesOptions>): void {
    this.settings = this.changed(changes)
    this.limit = this.settings.limit
    // More room, and perhaps somebody is waiting for it. Whether they still have time they find out themselves.
    while (this.active < this.limit) {
      const waiter = this.next(-Infinity)
      if (waiter === undefined) return
      this.active++
      this.admitted++
      waiter.enter()
    }
  }

  snapshot(): SlotsSnapshot {
    const { active, waiting, admitted, refused, expired, dropped, left } = this
    const { serviceMs } = this
    return { ...this.settings, active, waiting, admitted, refused, expired, dropped, left, serviceMs }
  }

  reset(): void {
    this.service = -Infinity
    this.admitted = 0
    this.refused = 0
    this.expired = 0
    this.dropped = 0
    this.left = 0
  }

  private handOver(now: number): void {
    if (this.active <= this.limit) {
      const waiter = this.next(now)
      if (waiter !== undefined) {
        this.admitted++
        waiter.enter()
        return
      }
    }
    if (--this.active === 0) this.onIdle?.()
  }

  /** Takes the next in line out of it, dropping those that no longer have the time. */
  private next(now: number): Waiter | undefined {
    if (this.waiting === 0) return undefined
    for (const line of this.lines) {
      while (line.first !== undefined) {
        const { first } = line
        const waiter = now - first.since > this.settings.lifoAfterMs ? line.last! : first
        this.unlink(waiter)
        if (!this.hopeless(waiter, now)) return waiter
        waiter.refuse(this.drop(waiter, now))
      }
    }
    return undefined
  }

  private unlink(waiter: Waiter): void {
    waiter.line!.remove(waiter)
    this.waiting--
  }

  private get serviceMs(): number {
    return Math.exp(this.service)
  }

  private hopeless(waiter: Waiter, now: number): boolean {
    return waiter.deadline !== Infinity && waiter.deadline - now < this.serviceMs
  }

  private drop(waiter: Waiter, now: number): Rejection {
    this.dropped++
    const left = Math.max(0, Math.floor(waiter.deadline - now))
    return deadlineExceeded(this.name, false, `${left} ms left for ${this.serviceMs.toFixed(1)} ms`)
  }

  private measure(durationMs: number): void {
    const sample = Math.log(Math.max(durationMs, SHORTEST_MS))
    this.service = this.service === -Infinity ? sample : this.service + GAIN * (sample - this.service)
  }

  private refusal(detail: string): Rejection {
    return new Rejection({ reason: 'bulkhead-full', policy: this.name, retry: 'elsewhere', detail })
  }
}
