/**
 * The algorithms once more, written to be obviously right and not fast: whole microseconds and whole numbers of
 * unlimited size, every grant remembered, every answer found by trying.
 */

/** What an algorithm grants one key. `now` never goes back. */
export interface Model {
  allows(now: bigint, cost: bigint): boolean
  /** Notes a grant. */
  add(now: bigint, cost: bigint): void
}

const MILLION = 1_000_000n
const max = (a: bigint, b: bigint): bigint => (a > b ? a : b)
const min = (a: bigint, b: bigint): bigint => (a < b ? a : b)

/** Tokens, counted in millionths of a token. `stepUs` pours them in only at multiples of it. */
export function tokenModel(perSecond: bigint, burst: bigint, stepUs = 1n): Model {
  let tokens = burst * MILLION
  let last = 0n
  const at = (now: bigint): bigint =>
    min(burst * MILLION, tokens + perSecond * ((now / stepUs) * stepUs - (last / stepUs) * stepUs))
  return {
    allows: (now, cost) => at(now) >= cost * MILLION,
    add(now, cost) {
      tokens = at(now) - cost * MILLION
      last = now
    },
  }
}

/** A level, counted in millionths. */
export function leakyModel(perSecond: bigint, capacity: bigint): Model {
  let level = 0n
  let last = 0n
  const at = (now: bigint): bigint => max(0n, level - perSecond * (now - last))
  return {
    allows: (now, cost) => at(now) + cost * MILLION <= capacity * MILLION,
    add(now, cost) {
      level = at(now) + cost * MILLION
      last = now
    },
  }
}

/** A theoretical arrival time, counted in parts of a microsecond: `limit` parts each. */
export function gcraModel(limit: bigint, periodUs: bigint, burst: bigint): Model {
  let tat = 0n
  return {
    allows: (now, cost) => max(tat, now * limit) + cost * periodUs - now * limit <= burst * periodUs,
    add(now, cost) {
      tat = max(tat, now * limit) + cost * periodUs
    },
  }
}

interface Grant {
  readonly at: bigint
  readonly cost: bigint
}

/** Every grant remembered; `counts` says how much of one counts at `now`, in parts of `whole`. */
function remembering(limit: bigint, whole: bigint, counts: (grant: Grant, now: bigint) => bigint): Model {
  const grants: Grant[] = []
  return {
    allows: (now, cost) =>
      grants.reduce((sum, grant) => sum + grant.cost * counts(grant, now), cost * whole) <= limit * whole,
    add(now, cost) {
      grants.push({ at: now, cost })
    },
  }
}

export function logModel(limit: bigint, windowUs: bigint): Model {
  return remembering(limit, 1n, ({ at }, now) => (at > now - windowUs ? 1n : 0n))
}

export function alignedWindowModel(limit: bigint, windowUs: bigint, zero: bigint): Model {
  const index = (time: bigint): bigint => (time + zero) / windowUs
  return remembering(limit, 1n, ({ at }, now) => (index(at) === index(now) ? 1n : 0n))
}

export function anchoredWindowModel(limit: bigint, windowUs: bigint): Model {
  let anchor: bigint | undefined
  let count = 0n
  const open = (now: bigint): boolean => anchor !== undefined && now < anchor + windowUs
  return {
    allows: (now, cost) => (open(now) ? count : 0n) + cost <= limit,
    add(now, cost) {
      if (!open(now)) {
        anchor = now
        count = 0n
      }
      count += cost
    },
  }
}

/** Buckets of `windowUs / buckets`, compared as fractions, since they need not be whole microseconds. */
export function bucketsModel(limit: bigint, windowUs: bigint, buckets: bigint, weighted: boolean): Model {
  const index = (time: bigint): bigint => (time * buckets) / windowUs
  return remembering(limit, windowUs, ({ at }, now) => {
    const age = index(now) - index(at)
    if (age < buckets) return windowUs
    if (age > buckets) return 0n
    // How far now is into its bucket, in parts of the bucket's length, of which there are windowUs.
    return weighted ? windowUs - (now * buckets - index(now) * windowUs) : windowUs
  })
}

/** For intervals of whole microseconds. */
export function warmUpModel(intervalUs: bigint, burst: bigint, warmUpUs: bigint, coldFactor: bigint): Model {
  let tat = 0n
  let cold = warmUpUs
  const rest = (now: bigint): { tat: bigint; cold: bigint } =>
    now > tat ? { tat: now, cold: min(warmUpUs, cold + now - tat) } : { tat, cold }
  return {
    allows: (now, cost) => rest(now).tat - now <= (burst - cost) * intervalUs,
    add(now, cost) {
      ;({ tat, cold } = rest(now))
      const extra = (coldFactor - 1n) * intervalUs * cold
      const price = cost * (intervalUs + (extra + warmUpUs - 1n) / warmUpUs)
      tat += price
      cold = max(0n, cold - price)
    },
  }
}

/** The largest cost that `model` grants at `now`, by trying. */
export function roomOf(model: Model, now: bigint, limit: number): number {
  let room = 0
  while (room < limit && model.allows(now, BigInt(room + 1))) room++
  return room
}

/** The microseconds after which `model` grants `cost`, by halving: once it grants, waiting changes nothing. */
export function waitOf(model: Model, now: bigint, cost: bigint): bigint {
  if (model.allows(now, cost)) return 0n
  let late = 1n
  while (!model.allows(now + late, cost)) late *= 2n
  let early = late / 2n
  while (late - early > 1n) {
    const middle = (early + late) / 2n
    if (model.allows(now + middle, cost)) late = middle
    else early = middle
  }
  return late
}
