import type { Context } from '../../core/context.ts'
import { baggageHeader, mergeBaggage } from './baggage.ts'

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
