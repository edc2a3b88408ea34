import type { Context } from '../../core/context.ts'

/** What `fetch` takes, and the context of the call. */
export interface FetchInit extends RequestInit {
  /** @default the context of the call in progress */
  readonly context?: Context | undefined
}

/** A request on its way out, as the parts of a chain see it. */
export interface OutgoingRequest {
  readonly url: string
  /** In capitals. */
  readonly method: string
  /** What will be sent, but for what the kit adds. A middleware may change them. */
  readonly headers: Headers
}

/** Methods that do the same whether they are done once or twice (RFC 9110, 9.2.2). */
const idempotentMethods = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'])

/** Whether the request may be sent twice: by its method, or because it names itself. */
export function isIdempotent({ method, headers }: OutgoingRequest): boolean {
  return idempotentMethods.has(method) || headers.has('idempotency-key')
}

/** Reads what `fetch` was given. Throws for a URL that is none, as `fetch` does. */
export function outgoingRequest(input: string | URL | Request, init: RequestInit): OutgoingRequest {
  const request = isRequest(input) ? input : undefined
  return {
    url: request === undefined ? new URL(input as string | URL).href : request.url,
    method: (init.method ?? request?.method ?? 'GET').toUpperCase(),
    headers: new Headers(init.headers ?? request?.headers),
  }
}

/** Whether the body can be read only once, so that the request can be sent only once. */
export function sendsOnce(input: string | URL | Request, init: RequestInit): boolean {
  const body = init.body ?? (isRequest(input) ? input.body : undefined)
  return typeof body === 'object' && body !== null && (Symbol.asyncIterator in body || 'getReader' in body)
}

export function isRequest(input: string | URL | Request): input is Request {
  // Not by class: undici brings a `Request` of its own.
  return typeof input === 'object' && 'headers' in input
}
