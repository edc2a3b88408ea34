import { createEvent, type Event } from './event.ts'
import type { Mechanism } from './mechanism.ts'

/** What `update` changed on a mechanism. */
export interface SettingsChange {
  readonly kind: string
  readonly name: string
  /** The options that were given, with their new values. */
  readonly changed: Readonly<Record<string, unknown>>
}

/** Settings of a mechanism were changed while it was in use. Published on the channel `spillway:settings`. */
export const settingsChanged: Event<SettingsChange> = createEvent('settings')

/**
 * Announces an update. It is the last line of every mechanism's `update`, after all of the options have been found
 * good and taken over:
 *
 *   update(options: Partial<BucketOptions>): void {
 *     this.settings = check(overlay(this.settings, options))
 *     announceSettings(this, options)
 *   }
 */
export function announceSettings(mechanism: Pick<Mechanism, 'kind' | 'name'>, options: object): void {
  if (!settingsChanged.active) return
  const given = Object.entries(options).filter(([, value]) => value !== undefined)
  if (given.length === 0) return
  settingsChanged.emit({ kind: mechanism.kind, name: mechanism.name, changed: Object.fromEntries(given) })
}
