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
 * A refusal. An `Error` in every respect but one: it records no stack, because a service under attack makes many
 * of them and the stack of a refusal tells nobody anything.
 */
export class Rejection {
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

  get name(): string {
    return 'Rejection'
  }

  get message(): string {
    const detail = this.detail === undefined ? '' : `: ${this.detail}`
    return `[${this.reason}] refused by ${this.policy}${detail}`
  }

  get stack(): string {
    return `${this.name}: ${this.message}`
  }
}

// `instanceof Error` holds, yet no constructor of Error runs, and so no stack is collected.
Object.setPrototypeOf(Rejection.prototype, Error.prototype)
Object.defineProperty(Rejection.prototype, brand, { value: true })

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
