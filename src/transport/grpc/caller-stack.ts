/** How many frames of a stack Node keeps unless it is told otherwise. */
const DEFAULT_LIMIT = 10

/** The limit to go back to, while errors are made without a stack. */
let limit: number | undefined

/**
 * Runs `call`, which asks grpc-js for a call.
 *
 * grpc-js makes an error for every call that it is asked for, so that one which fails can say where it was made. To
 * note ten frames takes a sixth of the processor time of the whole call, and all ten would be frames of the kit and
 * of grpc-js, none of them the caller's. So that error gets no stack, unless more frames than Node's default are
 * asked for (`Error.stackTraceLimit`, `--stack-trace-limit`): then the caller is among them.
 *
 * Everything that is made once the call has begun has its stack: see `callBegun`.
 */
export function withoutCallerStack<T>(call: () => T): T {
  const current = Error.stackTraceLimit
  // Where errors are frozen it stays as it is.
  if (limit === undefined && current <= DEFAULT_LIMIT && Reflect.set(Error, 'stackTraceLimit', 0)) {
    limit = current
  }
  try {
    return call()
  } finally {
    callBegun()
  }
}

/** grpc-js has come past the point where it notes its caller: errors have stacks again. */
export function callBegun(): void {
  if (limit === undefined) return
  Error.stackTraceLimit = limit
  limit = undefined
}
