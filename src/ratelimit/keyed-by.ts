import { functionOption } from '../core/options.ts'
import type { Limiter } from './limiter.ts'

/**
 * The same limiter under other keys: `keyedBy(perTenant, key => keyParts(key)[0])`, or `keyedBy(everybody, () => '')`.
 * For limits inside `all` that are not per caller.
 */
export function keyedBy<Options, Snapshot extends object>(
  limiter: Limiter<Options, Snapshot>,
  keyOf: (key: string) => string,
): Limiter<Options, Snapshot> {
  functionOption('keyOf', keyOf)
  return {
    immediate: true,
    clock: limiter.clock,
    kind: limiter.kind,
    name: limiter.name,
    take: (key, cost, now) => limiter.take(keyOf(key), cost, now),
    peek: (key, cost, now) => limiter.peek(keyOf(key), cost, now),
    refund: (key, cost, now, takenAt) => limiter.refund(keyOf(key), cost, now, takenAt),
    charge: (key, cost, now) => limiter.charge(keyOf(key), cost, now),
    block: (key, forMs, now) => limiter.block(keyOf(key), forMs, now),
    ...(limiter.release && { release: (key, cost, now) => limiter.release!(keyOf(key), cost, now) }),
    policies: () => limiter.policies(),
    update: partial => limiter.update(partial),
    snapshot: () => limiter.snapshot(),
    reset: () => limiter.reset(),
  }
}

/** One key from several parts, such that no two lists of parts give the same key. */
export function joinKey(...parts: readonly string[]): string {
  return parts.map(part => part.replaceAll('%', '%25').replaceAll('/', '%2F')).join('/')
}

/** The parts that a key was joined from. */
export function keyParts(key: string): readonly string[] {
  return key.split('/').map(part => part.replaceAll('%2F', '/').replaceAll('%25', '%'))
}
