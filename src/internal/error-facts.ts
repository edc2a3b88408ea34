/**
 * What an error says, without the error: it can be kept without keeping what the error holds on to, and sent where
 * an object cannot go. Classes do not survive that, so what tells errors apart elsewhere is kept: name and code.
 */
export interface ErrorFacts {
  readonly name: string
  readonly message: string
  readonly stack?: string | undefined
  readonly code?: string | number | undefined
  readonly status?: number | undefined
  readonly statusCode?: number | undefined
}

export function factsOf(error: unknown): ErrorFacts {
  if (typeof error !== 'object' || error === null) return { name: 'Error', message: String(error) }
  const { name, message, code, status, statusCode } = error as Partial<Record<keyof ErrorFacts, unknown>>
  return {
    name: typeof name === 'string' ? name : 'Error',
    message: typeof message === 'string' ? message : '',
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    ...(typeof status === 'number' ? { status } : {}),
    ...(typeof statusCode === 'number' ? { statusCode } : {}),
  }
}

/** An error that says what `facts` say. */
export function errorFrom(facts: ErrorFacts): Error {
  const { name, message, stack, ...rest } = facts
  const error = Object.assign(new Error(message), rest)
  Object.defineProperty(error, 'name', { value: name, configurable: true, writable: true })
  if (stack !== undefined) error.stack = stack
  return error
}
