/**
 * What a transport notes on the context of a call for policies that look at it and know no transport.
 *
 * `fromStranger`: it came in through a listener that does not trust its peers, so nothing that it says may switch
 * anything. `incomingGrpc` and `outgoingGrpc`: gRPC hands its metadata over beside the request, and not in it.
 */
import { type ContextKey, createContextKey } from '../core/context-key.ts'

interface WithMetadata {
  readonly metadata: { get(name: string): unknown }
}

export const fromStranger: ContextKey<boolean> = createContextKey('from a stranger', false)

export const incomingGrpc: ContextKey<WithMetadata | undefined> = createContextKey<WithMetadata | undefined>(
  'incoming gRPC call',
  undefined,
)

export const outgoingGrpc: ContextKey<WithMetadata | undefined> = createContextKey<WithMetadata | undefined>(
  'outgoing gRPC call',
  undefined,
)
