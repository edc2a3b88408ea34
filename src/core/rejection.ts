/** Why a call was refused. Stable: dashboards, alerts and clients may rely on the exact words. */
export type Reason =
  | 'rate-limited'
  | 'shed'
  | 'throttled'
  | 'breaker-open'
  | 'bulkhead-full'
  | 'deadline-exceeded'
  | 'cancelled'
  | 'retries-exhausted'
  | 'no-endpoint'
  | 'fault-injected'

/**
 * What the caller should do next. `never`: nobody may try again, pass it straight up. `elsewhere`: nothing was
 * done here, another replica may. `later`: the same again after `retryAfterMs`.
 */
export type RetryAdvice = 'never' | 'elsewhere' | 'later'

export interface RejectionOptions {
  readonly reason: Reason
  /** The name of the policy that refused. */
  readonly policy: string
  readonly retry: RetryAdvice
  /** With `later`: how long to wait. */
  readonly retryAfterMs?: number | undefined
  /** Whether the work may have begun. A refusal before that is safe to repeat for every request. @default false */
  readonly begun?: boolean | undefined
  /** A few words for the log; never sent to a client. */
  readonly detail?: string | undefined
  readonly cause?: unknown
}

// The registered symbol is the same in every copy of the package that a process may have installed.
const brand = Symbol.for('spillway.rejection')

/**
 * A refusal. `instanceof Error` holds, and it has a name, a message, a cause and a stack as any error does; but the
 * stack is one line, because a service under attack makes many refusals and where one was made tells nobody
 * anything.
 */
export class Rejection {
  declare name: string
  declare message: string
  declare stack: string
  readonly reason: Reason
  readonly policy: string
  readonly retry: RetryAdvice
  readonly retryAfterMs: number | undefined
  readonly begun: boolean
  readonly detail: string | undefined
  readonly cause: unknown

  constructor(options: RejectionOptions) {
    this.reason = options.reason
    this.policy = options.policy
    this.retry = options.retry
    this.retryAfterMs = options.retryAfterMs
    this.begun = options.begun ?? false
    this.detail = options.detail
    this.cause = options.cause
  }

  /** What a log of plain data should hold. */
  toJSON(): object {
    const { name, message, reason, policy, retry, retryAfterMs, begun, cause } = this
    const why = cause === undefined ? undefined : String(cause)
    return { name, message, reason, policy, retry, retryAfterMs, begun, cause: why }
  }
}

// No constructor of Error runs, and so no stack is collected.
Object.setPrototypeOf(Rejection.prototype, Error.prototype)
Object.defineProperty(Rejection.prototype, brand, { value: true })

/** Computed when it is read, and yet, as on any error, open to be written: some code adds to a message and rethrows. */
function lazily(key: 'message' | 'stack', compute: (rejection: Rejection) => string): void {
  Object.defineProperty(Rejection.prototype, key, {
    get(this: Rejection) {
      return compute(this)
    },
    set(this: Rejection, value: unknown) {
      Object.defineProperty(this, key, { value, configurable: true, enumerable: false, writable: true })
    },
  })
}

Object.defineProperty(Rejection.prototype, 'name', { value: 'Rejection', writable: true, configurable: true })
lazily('message', ({ reason, policy, detail }) => {
  return `[${reason}] refused by ${policy}${detail === undefined ? '' : `: ${detail}`}`
})
lazily('stack', rejection => `${rejection.name}: ${rejection.message}`)

/** One line, and the cause if there is one, where `console.log` would list every field. */
Object.defineProperty(Rejection.prototype, Symbol.for('nodejs.util.inspect.custom'), {
  value(
    this: Rejection,
    _depth: number,
    options: object,
    inspect: (value: unknown, options: object) => string,
  ) {
    const { retry, retryAfterMs, cause } = this
    const after = retryAfterMs === undefined ? '' : ` after ${retryAfterMs} ms`
    const why =
      cause === undefined ? '' : ` {\n  [cause]: ${inspect(cause, options).replaceAll('\n', '\n  ')}\n}`
    return `${this.stack} (retry: ${retry}${after})${why}`
  },
})

/** Whether `error` is a refusal of the kit, of any installed copy, and for `reason` if one is given. */
export function isRejection(error: unknown, reason?: Reason): error is Rejection {
  return (
    typeof error === 'object' &&
    error !== null &&
    (error as Record<symbol, unknown>)[brand] === true &&
    (reason === undefined || (error as Rejection).reason === reason)
  )
}

/** The refusal of a call whose time is up, before it began or while it ran. */
export function deadlineExceeded(policy: string, begun: boolean, detail?: string): Rejection {
  return new Rejection({ reason: 'deadline-exceeded', policy, retry: 'never', begun, detail })
}

/** The end of a call that nobody waits for any more. */
export function cancelled(policy: string, cause?: unknown): Rejection {
  return new Rejection({ reason: 'cancelled', policy, retry: 'never', begun: true, cause })
}
