/**
 * Deadlines on the wire. Only durations travel, so clocks need not agree; each is written when the call is sent
 * and rounded down, so a hop never gains time.
 *
 *   grpc-timeout  = 1 to 8 digits, then H, M, S, m, u or n     (gRPC over HTTP/2)
 *   x-envoy-expected-rq-timeout-ms = digits                    (HTTP)
 */
export const grpcTimeoutHeader = 'grpc-timeout'
export const httpTimeoutHeader = 'x-envoy-expected-rq-timeout-ms'

const unitMs = { n: 1e-6, u: 1e-3, m: 1, S: 1_000, M: 60_000, H: 3_600_000 } as const
const MAX_VALUE = 99_999_999

/** `ms` in the finest unit that fits into eight digits, rounded down; nothing for no limit. */
export function encodeGrpcTimeout(ms: number): string | undefined {
  if (ms === Infinity) return undefined
  if (!(ms > 0)) return '0n'
  for (const unit of ['n', 'u', 'm', 'S', 'M', 'H'] as const) {
    let value = Math.floor(ms / unitMs[unit])
    // Division by a fraction may round up past the original.
    if (value * unitMs[unit] > ms) value--
    if (value <= MAX_VALUE) return `${value}${unit}`
  }
  return `${MAX_VALUE}H`
}

/** Milliseconds, or nothing for a value that is not a timeout. */
export function decodeGrpcTimeout(text: string): number | undefined {
  const match = /^(\d{1,8})([HMSmun])$/.exec(text)
  return match === null ? undefined : Number(match[1]) * unitMs[match[2] as keyof typeof unitMs]
}

/** Whole milliseconds, rounded down; nothing for no limit. */
export function encodeHttpTimeout(ms: number): string | undefined {
  return ms === Infinity ? undefined : String(Math.max(0, Math.min(Math.floor(ms), Number.MAX_SAFE_INTEGER)))
}

/** Milliseconds, or nothing for a value that is not a timeout. */
export function decodeHttpTimeout(text: string): number | undefined {
  return /^\d{1,16}$/.test(text) ? Number(text) : undefined
}
