/**
 * Mistakes that do not look like mistakes: the service runs, and the limit is not what its author thinks. Each is
 * found when the limiter is built, has a code, and is explained in docs/rate-limiting.md under that code.
 */
import { currentContext } from '../core/ambient.ts'
import { warn } from '../core/warn.ts'

const GUIDE = 'docs/rate-limiting.md'

/** Limiters of one name: past this many, they are being made for requests, not for the service. */
const MANY = 1_000
/** Names are chosen by programmers. If there are more than this, they are not, and are counted no further. */
const MAX_NAMES = 1_000
const built = new Map<string, number>()

/** A limiter that is made anew for each request starts full each time, and limits nothing. */
export function noteBuilt(kind: string, name: string): void {
  const label = name === kind ? kind : `${kind} called '${name}'`
  const count = (built.get(label) ?? 0) + 1
  if (count > 1 || built.size < MAX_NAMES) built.set(label, count)
  const serving = currentContext() !== undefined
  if (count <= MANY && !serving) return
  warn(
    'SPILLWAY_LIMITER_PER_REQUEST',
    `${serving ? `A ${label} was built while a request was being served` : `More than ${MANY} limiters have been built that are a ${label}`}. A limiter counts from when it is built, so one for each request limits nothing: build it once, and tell requests apart by \`key\`. See ${GUIDE}#spillway_limiter_per_request`,
  )
}

/** What two limiters that share a store must not share as well. */
export interface StoreClaim {
  /** The store's client. */
  readonly store: object
  /** What all of a limiter's keys in the store begin with. */
  readonly prefix: string
  /** Says in the warning who holds the prefix. */
  readonly name: string
}

// Weak in the store and in the limiter: a limiter that is gone leaves its prefix to others.
const claims = new WeakMap<object, Map<string, WeakRef<object>>>()

/** Two limiters that count on the same keys of a store each charge the other's callers. */
export function claimStorePrefix(limiter: object, { store, prefix, name }: StoreClaim): void {
  let held = claims.get(store)
  if (held === undefined) {
    held = new Map()
    claims.set(store, held)
  }
  const other = held.get(prefix)?.deref()
  held.set(prefix, new WeakRef(limiter))
  if (other === undefined || other === limiter) return
  warn(
    'SPILLWAY_LIMITER_SHARED_KEYS',
    `Two limiters use the keys '${prefix}' of one store, the second is '${name}', so each counts the other's calls as its own. Give them different names. See ${GUIDE}#spillway_limiter_shared_keys`,
  )
}

/** Anybody can write a forwarding header; only the proxies in front of the service are to be believed. */
export function warnForwarded(header: string): void {
  warn(
    'SPILLWAY_PROXY_NOT_TRUSTED',
    `A request came with ${header}, but clientKey() was told of no proxy, so every caller behind the proxy counts as one. Say how many there are with \`proxies\`, or that there are none with \`proxies: 0\`. See ${GUIDE}#spillway_proxy_not_trusted`,
  )
}

/** Trusting every hop lets a caller choose who he is. */
export function refuseTrustAll(): never {
  throw Object.assign(
    new TypeError(
      `Expected \`proxies\` to be how many proxies there are, or their addresses: believing all of them lets a caller write any address he likes. See ${GUIDE}#spillway_proxy_trusts_all`,
    ),
    { code: 'SPILLWAY_PROXY_TRUSTS_ALL' },
  )
}
