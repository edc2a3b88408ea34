import type { Context } from '../../core/context.ts'
import { baggageHeader, mergeBaggage } from './baggage.ts'
import { encodeHttpTimeout, httpTimeoutHeader } from './timeout.ts'

/** Writes one header or metadata key. */
export type WriteHeader = (name: string, value: string) => void

/** Names of the header that carries the number of the attempt. gRPC counts the attempts before this one. */
export const httpAttemptHeader = 'x-retry-attempt'
export const grpcAttemptsHeader = 'grpc-previous-rpc-attempts'

/**
 * Writes what a context says of its call: criticality and tenant, beside whatever baggage is there already. The
 * time left is written apart from this, at the last moment before sending.
 */
export function writeBaggage(context: Context, existing: string | undefined, write: WriteHeader): void {
  const { criticality, tenant } = context
  const baggage = mergeBaggage(existing, {
    criticality: criticality === 'critical' ? undefined : criticality,
    tenant,
  })
  if (baggage !== undefined && baggage !== existing) write(baggageHeader, baggage)
}

/** Writes all that an HTTP request says of its call. To be done last, right before it is sent. */
export function writeHttpContext(
  context: Context,
  existingBaggage: string | undefined,
  write: WriteHeader,
): void {
  const timeout = encodeHttpTimeout(context.remainingMs)
  if (timeout !== undefined) write(httpTimeoutHeader, timeout)
  if (context.attempt > 1) write(httpAttemptHeader, String(context.attempt))
  writeBaggage(context, existingBaggage, write)
}
