import { deadlineExceeded } from '../../core/rejection.ts'
import type { Expiry } from '../../core/scope.ts'

/** What grpc-js reckons deadlines in: points in time, of a clock that may jump. */
const wallClock: { now(): number } = Date

/**
 * What is left until a deadline of grpc-js, in milliseconds. Asked once, when a call begins; from then on the wall
 * clock may jump as it likes.
 */
export function leftUntil(deadline: Date | number): number {
  const at = Number(deadline)
  return at === Infinity ? Infinity : Math.max(0, at - wallClock.now())
}

/** The reason of a call whose own deadline has passed. */
export const timedOut: Expiry = () => deadlineExceeded('grpc', true)
