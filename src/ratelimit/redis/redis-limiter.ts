import { systemClock } from '../../core/clock.ts'
import { register } from '../../core/mechanism.ts'
import { choiceOption, functionOption, knownOptions, numberOption } from '../../core/options.ts'
import { claimStorePrefix, noteBuilt } from '../config-checks.ts'
import { warnOfflineQueue } from './config-warnings.ts'
import { ExactLimiter, type Terms } from './exact.ts'
import { exactScript } from './exact-script.ts'
import { FairLimiter } from './fair.ts'
import { fairScript } from './fair-script.ts'
import { Fallback } from './fallback.ts'
import { KeyNames, keyName } from './keys.ts'
import { leaseScript } from './lease-script.ts'
import { LeasedLimiter } from './leased.ts'
import { compileLimits } from './limits.ts'
import { Link } from './link.ts'
import { serverOf } from './server-of.ts'
import type {
  ExactOptions,
  FairOptions,
  LeasedOptions,
  RedisLimiter,
  RedisLimiterOptions,
  RedisLimiterUpdate,
} from './types.ts'

const common = [
  'client',
  'name',
  'mode',
  'limits',
  'outage',
  'nodes',
  'timeoutMs',
  'probeEveryMs',
  'around',
  'maxKeys',
  'clock',
]
const own = {
  exact: ['slotBy', 'denyCacheKeys', 'denyCacheMs'],
  leased: ['maxLease', 'leaseMs', 'refillEveryMs'],
  fair: ['weight', 'refreshMs', 'leaseMs'],
}

/**
 * One limit for all processes that share a Redis. `exact` asks Redis for every call and is exact; `leased` takes
 * tokens ahead and answers most calls at once; `fair` agrees on a share for each process. Each states its bound.
 */
export function redisLimiter(options: RedisLimiterOptions): RedisLimiter {
  return buildLimiter(options)
}

/** @internal `time` is for tests: the Lua that sets the server's time. */
export function buildLimiter(options: RedisLimiterOptions, time?: string): RedisLimiter {
  const mode = choiceOption('mode', options.mode ?? 'exact', ['exact', 'leased', 'fair'])
  knownOptions(`redisLimiter in mode '${mode}'`, options, [...common, ...own[mode]])
  const { client } = options
  if (typeof client?.evalsha !== 'function' || typeof client.eval !== 'function') {
    throw new TypeError('Expected `client` to be a client of ioredis')
  }
  const name = keyName('name', options.name)
  const clock = options.clock ?? systemClock
  const maxKeys = numberOption('maxKeys', options.maxKeys ?? (mode === 'fair' ? 1_000 : 100_000), {
    min: 1,
    max: 2 ** 24,
    integer: true,
  })
  const { slotBy } = options as ExactOptions
  if (slotBy !== undefined) functionOption('slotBy', slotBy)
  if (options.around !== undefined) functionOption('around', options.around)

  const link = new Link({
    name,
    client,
    clock,
    timeoutMs: numberOption('timeoutMs', options.timeoutMs ?? 50, { min: 1, max: 60_000 }),
    probeEveryMs: numberOption('probeEveryMs', options.probeEveryMs ?? 100, { min: 1, max: 60_000 }),
    around: options.around,
  })
  const termsOf = (update: RedisLimiterUpdate): Terms => {
    const limits = compileLimits(name, update.limits!)
    const outage = choiceOption('outage', update.outage ?? 'local', ['open', 'closed', 'local'])
    if (mode !== 'exact' && (limits.length !== 1 || limits[0]!.bucket === undefined)) {
      throw new TypeError(
        `Expected \`limits\` to be one limit with \`periodMs\`: mode '${mode}' can hand out nothing else`,
      )
    }
    if ((mode !== 'exact' || outage === 'local') && update.nodes === undefined) {
      throw new TypeError(
        "Expected `nodes`, how many processes share the limit: each has its part of it, at the latest while Redis is away with `outage: 'local'`",
      )
    }
    const nodes = numberOption('nodes', update.nodes ?? 1, { min: 1, max: 1e6, integer: true })
    return {
      update: { ...update, outage },
      limits,
      names: new KeyNames(name, limits, slotBy),
      fallback: new Fallback({ outage, limits, nodes, clock, maxKeys }),
    }
  }
  const { limits, outage, nodes } = options
  const exact = new ExactLimiter({
    name,
    clock,
    link,
    script: exactScript(time),
    terms: termsOf({ limits, ...(outage && { outage }), ...(nodes !== undefined && { nodes }) }),
    amend: (terms, change) => {
      knownOptions('update of redisLimiter', change, ['limits', 'outage', 'nodes'])
      const given = Object.entries(change).filter(([, value]) => value !== undefined)
      return termsOf({ ...terms.update, ...Object.fromEntries(given) })
    },
    denyCacheKeys: numberOption('denyCacheKeys', (options as ExactOptions).denyCacheKeys ?? 10_000, {
      min: 0,
      max: 2 ** 24,
      integer: true,
    }),
    denyCacheMs: numberOption('denyCacheMs', (options as ExactOptions).denyCacheMs ?? 1_000, { min: 0 }),
  })
  const limiter =
    mode === 'leased'
      ? leased(exact, options as LeasedOptions, maxKeys, time)
      : mode === 'fair'
        ? fair(exact, options as FairOptions, maxKeys, time)
        : exact
  noteBuilt(limiter.kind, name)
  claimStorePrefix(limiter, { store: serverOf(client), prefix: exact.terms.names.prefix, name })
  warnOfflineQueue(name, client)
  return register(limiter)
}

function leased(exact: ExactLimiter, options: LeasedOptions, maxKeys: number, time?: string): LeasedLimiter {
  const { maxLease } = options
  return new LeasedLimiter({
    exact,
    script: leaseScript(time),
    maxKeys,
    maxLease:
      maxLease === undefined
        ? undefined
        : numberOption('maxLease', maxLease, { min: 0, max: 1e12, integer: true }),
    leaseMs: numberOption('leaseMs', options.leaseMs ?? Math.max(1_000, 4 * exact.link.timeoutMs), {
      min: 2 * exact.link.timeoutMs,
      max: 3_600_000,
    }),
    refillEveryMs: numberOption('refillEveryMs', options.refillEveryMs ?? 100, { min: 1, max: 60_000 }),
  })
}

function fair(exact: ExactLimiter, options: FairOptions, maxKeys: number, time?: string): FairLimiter {
  const refreshMs = numberOption('refreshMs', options.refreshMs ?? Math.max(200, exact.link.timeoutMs), {
    min: exact.link.timeoutMs,
    max: 3_600_000,
  })
  return new FairLimiter({
    exact,
    script: fairScript(time),
    maxKeys,
    weight: numberOption('weight', options.weight ?? 1, { min: 0.001, max: 1_000 }),
    refreshMs,
    leaseMs: numberOption('leaseMs', options.leaseMs ?? 5 * refreshMs, {
      min: 2 * refreshMs,
      max: 3_600_000,
    }),
  })
}
