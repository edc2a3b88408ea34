import type { Context } from '../core/context.ts'
import { fromStranger, incomingGrpc, outgoingGrpc } from '../internal/inbound-call.ts'

type Values = string | readonly string[] | null | undefined

/** Whatever may hold header fields: the object of node's http, `Headers` of fetch, `Metadata` of gRPC. */
type Fields = { get(name: string): unknown } | Readonly<Record<string, Values>>

interface WithHeaders {
  readonly headers?: Fields
  readonly metadata?: Fields
}

/**
 * For `when`: concerns calls that have the header, or the gRPC metadata, `name`, with `value` if one is given. A call
 * of a stranger is never concerned: of one that came in through a listener without `trustPeers`, or that is made
 * for such a one. Who else can set the header can cause the fault.
 */
export function byHeader(name: string, value?: string): (request: unknown, context?: Context) => boolean {
  const lower = name.toLowerCase()
  return (request, context) => {
    if (context?.get(fromStranger)) return false
    const grpc = context?.get(outgoingGrpc) ?? context?.get(incomingGrpc)
    const own = valuesOf(request as WithHeaders | null | undefined, lower)
    const found = own.length > 0 ? own : valuesOf(grpc, lower)
    return value === undefined ? found.length > 0 : found.includes(value)
  }
}

function valuesOf(request: WithHeaders | null | undefined, name: string): readonly string[] {
  const fields = request?.headers ?? request?.metadata
  if (typeof fields !== 'object' || fields === null) return []
  const held = typeof fields.get === 'function' ? fields.get(name) : (fields as Record<string, Values>)[name]
  if (held === undefined || held === null) return []
  return Array.isArray(held) ? held.map(String) : [String(held)]
}
