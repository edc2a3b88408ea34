/** What the processes tell each other about what they need: `wants of rank 0,1,2,3 weight`. */
import { type Claim, waterFilling } from './water-filling.ts'

/** The whole limit, in the parts that shares are counted in. */
export const WHOLE = 1_000_000

export function writeClaims(wants: readonly number[], weight: number): string {
  return `${wants.join(',')} ${weight}`
}

interface Member {
  readonly weight: number
  readonly claims: readonly Claim[]
}

function readClaims(text: string): Member | undefined {
  const [wants, own] = text.split(' ')
  const weight = Number(own)
  const numbers = (wants ?? '').split(',').map(Number)
  const fits = weight > 0 && weight < Infinity && numbers.every(number => number >= 0 && number <= WHOLE)
  return fits ? { weight, claims: numbers.map((n, rank) => ({ wants: n, weight, rank })) } : undefined
}

/**
 * The share that is fair for the first of `members`: max-min fair, the more important calls of all processes before
 * the less important of any. What nobody wants is divided among all of them, by weight, and one more, so that a
 * process that joins finds something.
 */
export function fairShare(own: string, others: readonly string[]): number {
  const members = [own, ...others].map(readClaims).filter(member => member !== undefined)
  const shares = waterFilling(
    WHOLE,
    members.flatMap(member => member.claims),
  )
  const first = members[0]!
  const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)
  const weights = sum(members.map(member => member.weight))
  const left = Math.max(0, WHOLE - sum(shares))
  const mine = sum(shares.slice(0, first.claims.length))
  return Math.floor(mine + (left * first.weight) / (weights + Math.max(...members.map(m => m.weight))))
}
