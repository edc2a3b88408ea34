/** An outage and its end, in time that is only counted: a client that calls steadily, and a backend that fails for a while. */
import { isRejection } from 'spillway'
import { throttle } from 'spillway/breaker'

/** Whether a call is let through at this time; what comes of it is told at once. */
export interface Throttling {
  admit(now: number): boolean
  settle(accepted: boolean, now: number): void
}

export interface Outage {
  readonly perSecond: number
  readonly goodS: number
  readonly outageS: number
  readonly afterS: number
}

export interface Outcome {
  /** From the return of the backend until every call is let through again and stays so for three seconds. */
  readonly recoveryS: number
  /** The share of the calls that was sent during the outage. */
  readonly sentInOutageRatio: number
  /** What was let through, second by second. */
  readonly sent: readonly number[]
}

const SLOT_MS = 100

export function play(throttling: Throttling, { perSecond, goodS, outageS, afterS }: Outage): Outcome {
  const start = 1_000
  const from = goodS * 1_000
  const to = from + outageS * 1_000
  const total = to + afterS * 1_000
  const offered = new Array<number>(total / SLOT_MS).fill(0)
  const sent = new Array<number>(total / SLOT_MS).fill(0)
  for (let ms = 0; ms < total; ms += 1_000 / perSecond) {
    const slot = Math.floor(ms / SLOT_MS)
    offered[slot]!++
    if (!throttling.admit(start + ms)) continue
    sent[slot]!++
    throttling.settle(ms < from || ms >= to, start + ms)
  }
  const sum = (counts: readonly number[], fromMs: number, toMs: number): number =>
    counts.slice(fromMs / SLOT_MS, toMs / SLOT_MS).reduce((a, b) => a + b, 0)
  return {
    recoveryS: recovery(offered, sent, to / SLOT_MS),
    sentInOutageRatio: sum(sent, from, to) / sum(offered, from, to),
    sent: Array.from({ length: total / 1_000 }, (_, s) => sum(sent, s * 1_000, (s + 1) * 1_000)),
  }
}

function recovery(offered: readonly number[], sent: readonly number[], back: number): number {
  const steady = 3_000 / SLOT_MS
  let run = 0
  for (let slot = back; slot < sent.length; slot++) {
    run = sent[slot] === offered[slot] ? run + 1 : 0
    if (run === steady) return ((slot + 1 - steady - back) * SLOT_MS) / 1_000
  }
  return Infinity
}

/** The kit's throttle as it comes. */
export function ours(random: () => number): Throttling {
  const mechanism = throttle({ random })
  let pass: { settle(verdict: 'success' | 'failure', now: number): void } | undefined
  return {
    admit(now) {
      const admitted = mechanism.admit(now)
      pass = isRejection(admitted) ? undefined : admitted
      return pass !== undefined
    },
    settle(accepted, now) {
      pass!.settle(accepted ? 'success' : 'failure', now)
    },
  }
}

/** The formula as the book has it, (requests - 2 * accepts) / (requests + 1), over this long a window. */
export function literal(windowMs: number, random: () => number): Throttling {
  let events: { readonly at: number; accepted: boolean }[] = []
  let oldest = 0
  let accepts = 0
  const requests = (): number => events.length - oldest
  const expire = (now: number): void => {
    while (oldest < events.length && events[oldest]!.at <= now - windowMs) {
      if (events[oldest]!.accepted) accepts--
      oldest++
    }
    if (oldest < 100_000) return
    events = events.slice(oldest)
    oldest = 0
  }
  return {
    admit(now) {
      expire(now)
      const rejection = (requests() - 2 * accepts) / (requests() + 1)
      events.push({ at: now, accepted: false })
      return random() >= rejection
    },
    settle(accepted) {
      if (!accepted) return
      events[events.length - 1]!.accepted = true
      accepts++
    },
  }
}
