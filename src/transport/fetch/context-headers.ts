import { defaultContext } from '../../core/ambient.ts'
import type { Context } from '../../core/context.ts'
import { writeHttpContext } from '../wire/outbound.ts'

/**
 * The header fields that carry a context on, for HTTP clients other than `fetch`:
 * `request(url, { headers: contextHeaders(context), signal: context.signal })`. They hold the time that is left
 * now, so they are made for each request and right before it.
 */
export function contextHeaders(context: Context = defaultContext()): Record<string, string> {
  const headers: Record<string, string> = {}
  writeHttpContext(context, undefined, (name, value) => {
    headers[name] = value
  })
  return headers
}
