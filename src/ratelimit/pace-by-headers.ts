/**
 * The client's side of a limit: reads what a server says of it in each answer, and keeps to it, so that the server
 * has nothing to refuse.
 *
 *   r, t, q   what is left, when all of it is back, how much there is (`RateLimit`, `RateLimit-Policy`)
 *
 *   r > spreadBelow q     calls go as they come
 *   0 < r                 calls go one every t / r, so that what is left lasts until there is more
 *   r = 0, Retry-After    nothing goes before that time
 *
 * What waits goes in the order in which it came. A call whose turn would come after `maxWaitMs`, or after its own
 * deadline, is refused at once. Stands inside a retry, so that the attempts keep to the pace too.
 */
import { retryAfter } from '../core/advice.ts'
import { layer } from '../core/chain.ts'
import type { Clock } from '../core/clock.ts'
import type { Context } from '../core/context.ts'
import type { Handler, Protection } from '../core/handler.ts'
import { functionOption, knownOptions, nameOption, numberOption } from '../core/options.ts'
import { isRejection, Rejection } from '../core/rejection.ts'
import { warn } from '../core/warn.ts'
import { callAfter } from '../internal/call-after.ts'
import { type ReadField, retryAfterIn, serverLimits } from './header-parse.ts'
import { Pace } from './pace.ts'

export interface PaceByHeadersOptions<Req = any, Res = any> {
  /** Whose limit it is: the server's name, if calls go to several. @default one limit for all calls */
  readonly key?: (request: Req, context: Context) => string
  /** Reads the fields of an answer. @default from its `headers`, as fetch and node:http have them */
  readonly fields?: (response: Res) => ReadField
  /** Calls are spread out once no more than this part of the limit is left. @default 0.5 */
  readonly spreadBelow?: number
  /** How many may wait at once for each key. @default 1000 */
  readonly maxQueue?: number
  /** The longest that a call is made to wait. @default 10_000 */
  readonly maxWaitMs?: number
  /** How many keys are kept apart; those that come when all are busy share one pace. @default 1000 */
  readonly maxKeys?: number
  /** @default 'pace-by-headers' */
  readonly name?: string
}

const known = ['key', 'fields', 'spreadBelow', 'maxQueue', 'maxWaitMs', 'maxKeys', 'name']

/** Keeps the calls of a client within the limits that its server announces. */
export function paceByHeaders<Req = unknown, Res = unknown>(
  options: PaceByHeadersOptions<Req, Res> = {},
): Protection<Req, Res> {
  knownOptions('paceByHeaders', options, known)
  const keyOf = functionOption('key', options.key ?? (() => ''))
  const fieldsOf = functionOption('fields', options.fields ?? headersOf)
  const spreadBelow = numberOption('spreadBelow', options.spreadBelow ?? 0.5, { min: 0, max: 1 })
  const maxQueue = numberOption('maxQueue', options.maxQueue ?? 1000, { min: 0, integer: true })
  const maxWaitMs = numberOption('maxWaitMs', options.maxWaitMs ?? 10_000, { min: 0, infinite: true })
  const maxKeys = numberOption('maxKeys', options.maxKeys ?? 1000, { min: 1, integer: true })
  const name = nameOption('name', options.name ?? 'pace-by-headers')
  const paces = new Paces(maxKeys, spreadBelow)

  return layer<Req, Res>({ kind: 'rate-limit', name }, next => (request, context) => {
    const pace = paces.of(keyOf(request, context), context.clock)
    const go = () => {
      pace.inFlight++
      const answer = start(next, request, context)
      answer.then(
        response => {
          pace.inFlight--
          learn(pace, () => fieldsOf(response))
        },
        error => {
          pace.inFlight--
          pace.learn([], askedToWait(error))
        },
      )
      return answer
    }
    if (pace.go()) return go()
    const waitMs = pace.waitMs()
    const tooLong = waitMs - Math.min(maxWaitMs, context.remainingMs)
    if (tooLong > 0 || pace.waiting >= maxQueue) {
      const retryAfterMs = Math.max(1, tooLong)
      const detail = `the server asks for a pace that would make this call wait ${Math.ceil(waitMs)} ms`
      return Promise.reject(
        new Rejection({ reason: 'rate-limited', policy: name, retry: 'later', retryAfterMs, detail }),
      )
    }
    return callAfter(pace.join(context), go)
  })
}

/** One pace for each key, and one for all that come when every pace is in use. */
class Paces {
  private readonly paces: Map<string, Pace>
  private readonly maxKeys: number
  private readonly spreadBelow: number
  private shared: Pace | undefined

  constructor(maxKeys: number, spreadBelow: number) {
    this.paces = new Map()
    this.maxKeys = maxKeys
    this.spreadBelow = spreadBelow
    this.shared = undefined
  }

  of(key: string, clock: Clock): Pace {
    let pace = this.paces.get(key)
    if (pace !== undefined) return pace
    pace = new Pace(clock, this.spreadBelow)
    if (this.paces.size >= this.maxKeys && !this.forgetOne()) {
      this.shared ??= pace
      return this.shared
    }
    this.paces.set(key, pace)
    return pace
  }

  /** Of the few that have been there for longest, one that knows nothing of use. */
  private forgetOne(): boolean {
    let looks = 16
    for (const [key, pace] of this.paces) {
      if (pace.idle) return this.paces.delete(key)
      // To the end, so that the next search looks at others.
      this.paces.delete(key)
      this.paces.set(key, pace)
      if (--looks === 0) return false
    }
    return false
  }
}

/** A handler that throws counts as one that rejects. */
function start<Req, Res>(next: Handler<Req, Res>, request: Req, context: Context): Promise<Res> {
  try {
    return next(request, context)
  } catch (error) {
    return Promise.reject(error)
  }
}

/** An answer whose fields cannot be read says nothing; whoever asked has it all the same. */
function learn(pace: Pace, fields: () => ReadField): void {
  try {
    const read = fields()
    pace.learn(serverLimits(read), retryAfterIn(read))
  } catch (error) {
    const got = error instanceof Error ? 'an error' : typeof error
    warn(
      'SPILLWAY_PACE_FIELDS',
      `Expected \`fields\` of paceByHeaders to read an answer, but it threw ${got}. See docs/rate-limiting.md#spillway_pace_fields`,
    )
  }
}

/** What a server's refusal asks for. A refusal of our own, by a breaker say, is no word of the server's. */
function askedToWait(error: unknown): number | undefined {
  return isRejection(error) && error.reason !== 'rate-limited' ? undefined : retryAfter(error)
}

function headersOf(response: unknown): ReadField {
  const headers = (response as { headers?: unknown } | undefined)?.headers
  if (typeof headers !== 'object' || headers === null) return () => undefined
  const { get } = headers as { get?: ReadField }
  if (typeof get === 'function') return field => get.call(headers, field)
  return field => {
    const value = (headers as Record<string, unknown>)[field]
    return typeof value === 'string' ? value : undefined
  }
}
