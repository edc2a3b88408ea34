/** How much a call matters, the most important first. Under pressure the last class is refused first. */
export const criticalities: readonly ['critical-plus', 'critical', 'sheddable-plus', 'sheddable'] = [
  'critical-plus',
  'critical',
  'sheddable-plus',
  'sheddable',
]

export type Criticality = (typeof criticalities)[number]

export function isCriticality(value: unknown): value is Criticality {
  return criticalities.includes(value as Criticality)
}
