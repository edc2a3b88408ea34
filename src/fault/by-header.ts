type Values = string | readonly string[] | null | undefined

/** Whatever may hold header fields: the object of node's http, `Headers` of fetch, `Metadata` of gRPC. */
type Fields = { get(name: string): unknown } | Readonly<Record<string, Values>>

interface WithHeaders {
  readonly headers?: Fields
  readonly metadata?: Fields
}

/**
 * For `when`: concerns requests that have the header `name`, with `value` if one is given. Whoever can set the
 * header can then cause the fault, so it is for test systems, or for behind an edge that strips it.
 */
export function byHeader(name: string, value?: string): (request: unknown) => boolean {
  const lower = name.toLowerCase()
  return request => {
    const found = valuesOf(request as WithHeaders | null | undefined, lower)
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
