interface Measured {
  readonly byteLength?: unknown
  readonly size?: unknown
  readonly headers?: { get?(name: string): string | null } & Record<string, unknown>
}

/**
 * How many bytes a request or an answer is, near enough to slow it down: the bytes of text, buffers and blobs, what
 * `content-length` says of a message of HTTP, and for any other object as much as its JSON.
 */
export function sizeOf(message: unknown): number {
  if (typeof message === 'string') return Buffer.byteLength(message)
  if (typeof message !== 'object' || message === null) return 0
  const { byteLength, size, headers } = message as Measured
  if (typeof byteLength === 'number') return byteLength
  if (headers !== undefined && headers !== null) {
    const length =
      typeof headers.get === 'function' ? headers.get('content-length') : headers['content-length']
    return Number(length) || 0
  }
  if (typeof size === 'number') return size
  try {
    return Buffer.byteLength(JSON.stringify(message) ?? '')
  } catch {
    // It has no JSON, a circle for one; there is no telling then.
    return 0
  }
}
