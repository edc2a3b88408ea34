import { type Clock, systemClock } from '../core/clock.ts'
import type { Context } from '../core/context.ts'
import { criticalities } from '../core/criticality.ts'
import { createEvent, type Event } from '../core/event.ts'
import { type Mechanism, register } from '../core/mechanism.ts'
import { choiceOption, functionOption, knownOptions, nameOption, numberOption } from '../core/options.ts'
import { announceSettings } from '../core/settings.ts'
import { overlay } from '../internal/overlay.ts'
import {
  type AutomaticSwitch,
  type CellOptions,
  SwitchCell,
  type SwitchSetting,
  type SwitchSource,
} from './switch-cell.ts'

export interface SwitchOptions {
  /** The highest level. @default 1, on or off */
  readonly levels?: number
  /** What holds while nothing else does. @default { level: 0 }, full service */
  readonly default?: SwitchSetting
  /** Lets a load signal work the switch. @default none */
  readonly automatic?: AutomaticSwitch | undefined
  /** Over how long calls return to a fuller service, so that they do not return all at once. @default 0 */
  readonly rampMs?: number
}

/** A setting made by hand. */
export interface ManualSetting extends SwitchSetting {
  /** How long it lasts; what nobody renews must not last for ever. `Infinity` if it must. @default 3600000 */
  readonly ttlMs?: number
}

export interface SwitchesOptions {
  /** What a call is told apart by, where only a part of the calls is concerned. @default its caller */
  readonly key?: (context: Context) => string | undefined
  /** @default 'switches' */
  readonly name?: string
  /** @default the process's own */
  readonly clock?: Clock
  /** A number from 0 up to 1, for calls without a key. @default Math.random */
  readonly random?: () => number
}

export interface SwitchSnapshot extends Required<SwitchSetting> {
  readonly source: SwitchSource
  /** How long a setting made by hand lasts. */
  readonly expiresInMs: number | undefined
  /** How often a call was told of a level above 0. */
  readonly degraded: number
}

/** Published as `spillway:switch` when the setting in force changes. */
export interface SwitchChange {
  readonly switches: string
  readonly name: string
  readonly source: SwitchSource
  readonly from: Required<SwitchSetting>
  readonly to: Required<SwitchSetting>
}

export const switchChanged: Event<SwitchChange> = createEvent('switch')

export interface Switches<Name extends string>
  extends Mechanism<
    Readonly<Record<Name, Partial<SwitchOptions>>>,
    Readonly<Record<string, SwitchSnapshot>>
  > {
  /** The names of the switches. */
  readonly names: readonly Name[]
  /** The level at which a call is to be served; 0 is in full. A name that is no switch is at 0. */
  level(name: Name | (string & {}), context?: Context, key?: string): number
  /** Whether a call is to be served in full. */
  isOn(name: Name | (string & {}), context?: Context, key?: string): boolean
  /** Sets a switch by hand, above whatever the load says, until its time is over. */
  set(name: Name, setting: ManualSetting): void
  /** Takes back what was set by hand. */
  clear(name: Name): void
  /** Throws what `set` would throw, and sets nothing. */
  check(name: Name, setting: ManualSetting): void
}

/**
 * Switches for what a service can do without: what is off is not called, and the rest has its capacity. Set by
 * hand, by load, or by default, in this order.
 */
export function switches<const Name extends string>(
  cells: Readonly<Record<Name, SwitchOptions>>,
  options: SwitchesOptions = {},
): Switches<Name> {
  return register(new SwitchBoard(cells, options))
}

class SwitchBoard<Name extends string> implements Switches<Name> {
  readonly kind: string = 'switches'
  readonly name: string
  readonly names: readonly Name[]
  private readonly cells: Map<string, SwitchCell>
  private readonly key: (context: Context) => string | undefined
  private readonly clock: Clock
  private readonly random: () => number

  constructor(cells: Readonly<Record<Name, SwitchOptions>>, options: SwitchesOptions) {
    knownOptions('switches', options, ['key', 'name', 'clock', 'random'])
    this.name = nameOption('name', options.name ?? 'switches')
    this.key = functionOption('key', options.key ?? (context => context.caller))
    this.clock = options.clock ?? systemClock
    this.random = functionOption('random', options.random ?? Math.random)
    this.names = Object.keys(cells) as Name[]
    this.cells = new Map(
      this.names.map(name => {
        const tell = (cell: SwitchCell, from: Required<SwitchSetting>): void => {
          if (!switchChanged.active) return
          switchChanged.emit({ switches: this.name, name, source: cell.source, from, to: cell.setting })
        }
        return [name, new SwitchCell(name, checkCell(name, cells[name]), tell)]
      }),
    )
  }

  level(name: string, context?: Context, key?: string): number {
    const cell = this.cells.get(name)
    if (cell === undefined) return 0
    const rank = context === undefined ? 1 : criticalities.indexOf(context.criticality)
    const told = key ?? (context === undefined ? undefined : this.key(context))
    return cell.level(this.clock.now(), rank, told, this.random)
  }

  isOn(name: string, context?: Context, key?: string): boolean {
    return this.level(name, context, key) === 0
  }

  set(name: Name, setting: ManualSetting): void {
    const { ttlMs, ...checked } = this.checked(name, setting)
    const now = this.clock.now()
    this.cell(name).set(checked, now + ttlMs, now)
  }

  check(name: Name, setting: ManualSetting): void {
    this.checked(name, setting)
  }

  clear(name: Name): void {
    this.cell(name).set(undefined, Infinity, this.clock.now())
  }

  update(changes: Partial<Readonly<Record<Name, Partial<SwitchOptions>>>>): void {
    knownOptions(this.name, changes, this.names)
    const changed = Object.entries<Partial<SwitchOptions> | undefined>(changes).map(
      ([name, options = {}]) => {
        const cell = this.cell(name as Name)
        knownOptions(`The switch ${name}`, options, cellOptions)
        // The one option that `undefined` is a value of: no load works the switch any more.
        const { automatic } = 'automatic' in options ? options : cell.options
        return {
          cell,
          options: checkCell(name, { ...overlay<SwitchOptions>(cell.options, options), automatic }),
        }
      },
    )
    const now = this.clock.now()
    for (const { cell, options } of changed) cell.change(options, now)
    announceSettings(this, changes)
  }

  snapshot(): Readonly<Record<string, SwitchSnapshot>> {
    const now = this.clock.now()
    return Object.fromEntries(
      [...this.cells].map(([name, cell]) => {
        cell.refresh(now)
        const { source } = cell
        const expiresInMs = source === 'manual' ? cell.manualUntil - now : undefined
        return [name, { ...cell.setting, source, expiresInMs, degraded: cell.degraded }]
      }),
    )
  }

  reset(): void {
    const now = this.clock.now()
    for (const cell of this.cells.values()) cell.reset(now)
  }

  private checked(name: Name, setting: ManualSetting): Required<ManualSetting> {
    const { ttlMs = 3_600_000, ...rest } = setting
    numberOption('ttlMs', ttlMs, { min: 0, above: true, infinite: true })
    return { ...checkSetting('', rest, this.cell(name).options.levels), ttlMs }
  }

  private cell(name: Name): SwitchCell {
    const cell = this.cells.get(name)
    if (cell !== undefined) return cell
    throw new TypeError(`${this.name} has no switch \`${name}\`; it has ${this.names.join(', ')}`)
  }
}

const cellOptions = ['levels', 'default', 'automatic', 'rampMs']

function checkCell(name: string, options: SwitchOptions): CellOptions {
  knownOptions(`The switch ${name}`, options, cellOptions)
  const levels = numberOption(`${name}.levels`, options.levels ?? 1, { min: 1, integer: true })
  return {
    levels,
    rampMs: numberOption(`${name}.rampMs`, options.rampMs ?? 0, { min: 0 }),
    default: checkSetting(`${name}.default.`, options.default ?? { level: 0 }, levels),
    automatic:
      options.automatic === undefined ? undefined : checkAutomatic(`${name}.automatic.`, options.automatic),
  }
}

function checkSetting(path: string, setting: SwitchSetting, levels: number): Required<SwitchSetting> {
  knownOptions('A switch setting', setting, ['level', 'percent', 'criticality'])
  const { level, percent = 100, criticality = 'critical-plus' } = setting
  return {
    level: numberOption(`${path}level`, level, { min: 0, max: levels, integer: true }),
    ...checkShare(path, percent, criticality),
  }
}

function checkAutomatic(path: string, automatic: AutomaticSwitch): Required<AutomaticSwitch> {
  const others = ['dwellMs', 'sampleMs', 'percent', 'criticality']
  knownOptions('An automatic switch', automatic, ['load', 'enterAt', 'exitAt', ...others])
  const { load, dwellMs = 5000, sampleMs = 100, percent = 100, criticality = 'critical-plus' } = automatic
  const enterAt = numberOption(`${path}enterAt`, automatic.enterAt)
  const exitAt = numberOption(`${path}exitAt`, automatic.exitAt)
  if (exitAt >= enterAt) {
    throw new RangeError(`Expected \`${path}exitAt\` to be a number below \`enterAt\`, got ${exitAt}`)
  }
  return {
    load: functionOption(`${path}load`, load),
    enterAt,
    exitAt,
    dwellMs: numberOption(`${path}dwellMs`, dwellMs, { min: 0 }),
    sampleMs: numberOption(`${path}sampleMs`, sampleMs, { min: 0 }),
    ...checkShare(path, percent, criticality),
  }
}

function checkShare(
  path: string,
  percent: unknown,
  criticality: unknown,
): Required<Pick<SwitchSetting, 'percent' | 'criticality'>> {
  return {
    percent: numberOption(`${path}percent`, percent, { min: 0, max: 100 }),
    criticality: choiceOption(`${path}criticality`, criticality, criticalities),
  }
}
