import type { Context } from '../core/context.ts'
import { choiceOption, functionOption, knownOptions, nameOption, numberOption } from '../core/options.ts'
import type { RetryAdvice } from '../core/rejection.ts'

/** What goes wrong, how often, and for whom. Every condition that is given must hold. */
export interface FaultRule<Req = any> {
  /** In how many of the calls concerned, 0 to 100. */
  readonly percent: number
  /** Only for these callers. @default all */
  readonly callers?: readonly string[]
  /** Only for these tenants. @default all */
  readonly tenants?: readonly string[]
  /** Only for these calls: `byHeader('x-fault')`, or a look at the request. @default all */
  readonly when?: (request: Req, context: Context) => boolean
  /** Whether it goes wrong before the work, or after it, when the work is done and its answer is lost. @default 'before' */
  readonly at?: 'before' | 'after'
  /** Waits this long, or for a time drawn from this range. */
  readonly latencyMs?: number | { readonly minMs: number; readonly maxMs: number }
  /** Waits as long as the request and the answer would take to travel at this rate. */
  readonly bytesPerSecond?: number
  /** Fails with the error that this makes. */
  readonly error?: (request: Req, context: Context) => unknown
  /** Fails with a `Rejection` for the reason `fault-injected`, and with this advice. */
  readonly abort?: RetryAdvice
  /** Never answers, until the call ends or the faults are switched off. */
  readonly hang?: boolean
  /** What it is called in `snapshot()`. @default its number */
  readonly name?: string
}

/** A rule that has been checked. */
export interface CheckedRule extends Omit<FaultRule, 'latencyMs' | 'callers' | 'tenants'> {
  readonly name: string
  readonly at: 'before' | 'after'
  readonly latency: { readonly minMs: number; readonly maxMs: number } | undefined
  readonly callers: ReadonlySet<string> | undefined
  readonly tenants: ReadonlySet<string> | undefined
}

const conditions = ['percent', 'callers', 'tenants', 'when', 'at', 'name']
const effects = ['latencyMs', 'bytesPerSecond', 'error', 'abort', 'hang'] as const
const endings = ['error', 'abort', 'hang'] as const

export function checkRule(rule: FaultRule, index: number): CheckedRule {
  const path = `rules[${index}].`
  knownOptions(`rules[${index}]`, rule, [...conditions, ...effects])
  const { latencyMs, callers, tenants, ...rest } = rule
  if (!effects.some(effect => rule[effect] !== undefined)) {
    throw new TypeError(`Expected \`rules[${index}]\` to have one of ${effects.join(', ')}, got none`)
  }
  const given = endings.filter(ending => rule[ending] !== undefined && rule[ending] !== false)
  if (given.length > 1) {
    throw new TypeError(`Expected \`rules[${index}]\` to end in one way, got ${given.join(' and ')}`)
  }
  numberOption(`${path}percent`, rule.percent, { min: 0, max: 100 })
  if (rule.bytesPerSecond !== undefined) {
    numberOption(`${path}bytesPerSecond`, rule.bytesPerSecond, { min: 0, above: true })
  }
  if (rule.when !== undefined) functionOption(`${path}when`, rule.when)
  if (rule.error !== undefined) functionOption(`${path}error`, rule.error)
  if (rule.abort !== undefined) choiceOption(`${path}abort`, rule.abort, ['never', 'elsewhere', 'later'])
  return {
    ...rest,
    name: nameOption(`${path}name`, rule.name ?? String(index)),
    at: choiceOption(`${path}at`, rule.at ?? 'before', ['before', 'after']),
    latency: latencyMs === undefined ? undefined : checkLatency(path, latencyMs),
    callers: callers === undefined ? undefined : new Set(callers),
    tenants: tenants === undefined ? undefined : new Set(tenants),
  }
}

/** Whether a rule concerns a call at all. */
export function concerns(rule: CheckedRule, request: unknown, context: Context): boolean {
  const { callers, tenants, when } = rule
  if (callers !== undefined && (context.caller === undefined || !callers.has(context.caller))) return false
  if (tenants !== undefined && (context.tenant === undefined || !tenants.has(context.tenant))) return false
  return when === undefined || when(request, context)
}

function checkLatency(path: string, latencyMs: NonNullable<FaultRule['latencyMs']>): CheckedRule['latency'] {
  if (typeof latencyMs === 'number') {
    const ms = numberOption(`${path}latencyMs`, latencyMs, { min: 0 })
    return { minMs: ms, maxMs: ms }
  }
  knownOptions(`${path}latencyMs`, latencyMs, ['minMs', 'maxMs'])
  const minMs = numberOption(`${path}latencyMs.minMs`, latencyMs.minMs, { min: 0 })
  return { minMs, maxMs: numberOption(`${path}latencyMs.maxMs`, latencyMs.maxMs, { min: minMs }) }
}
