import { gate } from '../core/chain.ts'
import type { Context } from '../core/context.ts'
import type { Outcome } from '../core/gate.ts'
import type { Protection } from '../core/handler.ts'
import { type Mechanism, register } from '../core/mechanism.ts'
import { functionOption, knownOptions, nameOption, numberOption } from '../core/options.ts'
import { announceSettings } from '../core/settings.ts'

export interface BySpeedOptions<Req = unknown> {
  /** What takes long or does not: a route, a method, a query. */
  readonly key: (request: Req, context: Context) => string
  /** A key whose calls take this long on average is slow. */
  readonly slowMs: number
  /** A slow key whose calls take no longer than this on average is fast again. @default half of `slowMs` */
  readonly fastMs?: number
  /** How many keys are remembered. Past that, the one not seen for longest is forgotten. @default 1000 */
  readonly maxKeys?: number
  /** @default 'by-speed' */
  readonly name?: string
}

export interface BySpeedSnapshot {
  readonly slowMs: number
  readonly fastMs: number
  /** How many keys are remembered. */
  readonly keys: number
  /** The keys that are slow now. */
  readonly slow: readonly string[]
}

/** Tells slow calls from fast ones by how long calls like them took. */
export interface BySpeed<Req = unknown>
  extends Mechanism<Pick<BySpeedOptions, 'slowMs' | 'fastMs'>, BySpeedSnapshot> {
  /** For `lanes({ classify })`. A key that nothing is known of is fast. */
  readonly classify: (request: Req, context: Context) => 'fast' | 'slow'
  /** Measures. Goes inside the lanes, so that waiting in a lane does not count as being slow. */
  readonly measure: Protection<Req>
}

interface Speed {
  /** An average in which each call counts an eighth of what is left. */
  meanMs: number
  slow: boolean
}

const GAIN = 1 / 8

/**
 * Learns which calls are slow, so that `lanes` can keep them from the fast ones:
 * `chain(lanes({ lanes: { fast, slow }, classify: speed.classify }), speed.measure)`.
 */
export function bySpeed<Req = unknown>(options: BySpeedOptions<Req>): BySpeed<Req> {
  knownOptions('bySpeed', options, ['key', 'slowMs', 'fastMs', 'maxKeys', 'name'])
  const key = functionOption('key', options.key)
  const name = nameOption('name', options.name ?? 'by-speed')
  const speeds = register(new Speeds(name, options.slowMs, options.fastMs, options.maxKeys ?? 1000))
  const measure = gate<Req, { readonly key: string; readonly startedAt: number }>({
    kind: 'observe',
    name,
    until: 'work',
    admit: (request, context, now) => ({ key: key(request, context), startedAt: now }),
    settle(call, outcome: Outcome, now) {
      if (outcome === 'refused' || outcome === 'cancelled') return
      speeds.took(call.key, now - call.startedAt, outcome === 'success')
    },
  })
  return {
    kind: speeds.kind,
    name,
    classify: (request, context) => (speeds.isSlow(key(request, context)) ? 'slow' : 'fast'),
    measure,
    update: changes => speeds.update(changes),
    snapshot: () => speeds.snapshot(),
    reset: () => speeds.reset(),
  }
}

class Speeds implements Mechanism<Pick<BySpeedOptions, 'slowMs' | 'fastMs'>, BySpeedSnapshot> {
  readonly kind: string = 'by-speed'
  readonly name: string
  private readonly maxKeys: number
  private slowMs: number
  private fastMs: number
  /** In the order in which they were last measured. */
  private readonly speeds: Map<string, Speed>

  constructor(name: string, slowMs: number, fastMs: number | undefined, maxKeys: number) {
    this.name = name
    this.maxKeys = numberOption('maxKeys', maxKeys, { min: 1, integer: true })
    this.slowMs = 0
    this.fastMs = 0
    this.speeds = new Map()
    this.set(slowMs, fastMs)
  }

  isSlow(key: string): boolean {
    return this.speeds.get(key)?.slow ?? false
  }

  /** A call that failed would have taken at least as long as it did: it can make its key slower, and never faster. */
  took(key: string, ms: number, succeeded: boolean): void {
    const { speeds } = this
    let speed = speeds.get(key)
    if (!succeeded && ms < (speed?.meanMs ?? this.slowMs)) return
    if (speed === undefined) {
      if (speeds.size >= this.maxKeys) speeds.delete(speeds.keys().next().value!)
      speed = { meanMs: ms, slow: false }
    } else {
      speed.meanMs += GAIN * (ms - speed.meanMs)
      speeds.delete(key)
    }
    speeds.set(key, speed)
    speed.slow = speed.slow ? speed.meanMs > this.fastMs : speed.meanMs >= this.slowMs
  }

  update(changes: Partial<Pick<BySpeedOptions, 'slowMs' | 'fastMs'>>): void {
    knownOptions('bySpeed', changes, ['slowMs', 'fastMs'])
    const { slowMs = this.slowMs } = changes
    this.set(slowMs, changes.fastMs ?? (this.fastMs < slowMs ? this.fastMs : undefined))
    announceSettings(this, changes)
  }

  snapshot(): BySpeedSnapshot {
    const slow = [...this.speeds].filter(([, speed]) => speed.slow).map(([key]) => key)
    return { slowMs: this.slowMs, fastMs: this.fastMs, keys: this.speeds.size, slow }
  }

  reset(): void {
    this.speeds.clear()
  }

  private set(slowMs: number, fastMs: number = slowMs / 2): void {
    numberOption('slowMs', slowMs, { min: 0, above: true })
    this.fastMs = numberOption('fastMs', fastMs, { min: 0, max: slowMs })
    this.slowMs = slowMs
  }
}
