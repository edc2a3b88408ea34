import { systemClock } from '../core/clock.ts'
import { knownOptions, nameOption } from '../core/options.ts'
import { checkCost, checkKey } from './checks.ts'
import type { Decision, Limiter } from './limiter.ts'

export interface UnlimitedOptions {
  /** @default 'unlimited' */
  readonly name?: string
}

/** Grants everything: the word for a plan without a limit, since a limit of 0 denies everything. */
export function unlimited(
  options: UnlimitedOptions = {},
): Limiter<UnlimitedOptions, { readonly allowed: number }> {
  knownOptions('unlimited', options, ['name'])
  const name = nameOption('name', options.name ?? 'unlimited')
  const granted: Decision = Object.freeze({
    allowed: true,
    limit: Infinity,
    remaining: Infinity,
    retryAfterMs: 0,
    resetAfterMs: 0,
    policy: name,
    source: 'local',
    shadowed: false,
    parts: undefined,
  })
  let allowed = 0
  const check = (key: string, cost = 1): Decision => {
    checkKey(key)
    checkCost(cost)
    return granted
  }
  return {
    immediate: true,
    clock: systemClock,
    kind: 'unlimited',
    name,
    take(key, cost) {
      const decision = check(key, cost)
      allowed++
      return decision
    },
    peek: check,
    refund: check,
    charge: check,
    block() {
      throw new TypeError(`${name} grants everything, and so can block nobody`)
    },
    policies: () => [],
    update: partial => knownOptions('update of unlimited', partial, []),
    snapshot: () => ({ allowed }),
    reset() {
      allowed = 0
    },
  }
}
