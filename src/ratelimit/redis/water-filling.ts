/**
 * Max-min fair shares, exactly, by water filling (Bertsekas and Gallager, Data Networks, 6.5.2).
 *
 *   share_i = min(wants_i, weight_i * level),  with the one level at which the shares add up to the capacity
 *
 * Nobody gets more than he wants; nobody who wants more than he gets could have more without taking it from somebody
 * who has no more for his weight. Classes are served in order: a class gets what the more important ones leave.
 */
export interface Claim {
  readonly wants: number
  /** Shares grow in proportion. @default 1 */
  readonly weight?: number
  /** Importance, 0 first. @default 0 */
  readonly rank?: number
}

/** Shares of `capacity`, in the order of the claims. O(n log n). */
export function waterFilling(capacity: number, claims: readonly Claim[]): number[] {
  const shares = claims.map(() => 0)
  let left = capacity
  for (const rank of [...new Set(claims.map(rankOf))].sort((a, b) => a - b)) {
    const members = claims.map((_, index) => index).filter(index => rankOf(claims[index]!) === rank)
    left -= fill(left, claims, members, shares)
  }
  return shares
}

/** Pours `capacity` over the members of one class; answers with how much was taken. */
function fill(capacity: number, claims: readonly Claim[], members: number[], shares: number[]): number {
  // In this order each member is either satisfied at the level that the rest can reach, or so is nobody after it.
  const demand = (index: number): number => claims[index]!.wants / weightOf(claims[index]!)
  members.sort((a, b) => demand(a) - demand(b))
  let left = capacity
  let weight = members.reduce((sum, index) => sum + weightOf(claims[index]!), 0)
  for (const index of members) {
    const own = weightOf(claims[index]!)
    const share = Math.min(claims[index]!.wants, (left * own) / weight)
    shares[index] = share
    left -= share
    weight -= own
  }
  return capacity - left
}

const weightOf = (claim: Claim): number => claim.weight ?? 1
const rankOf = (claim: Claim): number => claim.rank ?? 0
