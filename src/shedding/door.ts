import { addAnswerField, hasAnswerFields } from '../core/answer-fields.ts'
import type { Context } from '../core/context.ts'
import type { Criticality } from '../core/criticality.ts'
import type { Outcome } from '../core/gate.ts'
import { functionOption, knownOptions, nameOption } from '../core/options.ts'
import type { Rejection } from '../core/rejection.ts'
import { warn } from '../core/warn.ts'
import type { Loop } from '../internal/event-loop.ts'
import { pressureField, pressureText } from '../internal/pressure-field.ts'
import { importanceOf, noTask, ShedCall, type ShedTask } from './call.ts'
import { rejectionOf } from './refusal.ts'
import type { Refusal, Result, Shedder } from './shedder.ts'
import { toldPressure } from './told-pressure.ts'

export interface ShedOptions<Req = any> {
  /** What is asked for; `adaptive` learns route by route what a call costs. @default all calls are alike */
  readonly route?: (request: Req, context: Context) => string | undefined
  /** @default the context's */
  readonly criticality?: (request: Req, context: Context) => Criticality | undefined
  /** @default the context's */
  readonly tenant?: (request: Req, context: Context) => string | undefined
  /** Calls that are never refused and never wait: health checks, metrics. @default none */
  readonly exempt?: (request: Req, context: Context) => boolean
  /** Adds `x-pressure`, from 0 to 1, to the answers given while the shedder is pressed. @default true */
  readonly headers?: boolean
  /** Names the middleware. @default the shedder's name */
  readonly name?: string
  /** Spreads the times that refused callers are told to stay away. @default Math.random */
  readonly random?: () => number
  /** @internal The loop that a queue runs on. */
  readonly loop?: Loop
}

const functions = ['route', 'criticality', 'tenant', 'exempt', 'random'] as const

/** Between calls and a shedder, with a queue or without: what a call is to it, and what the caller is told. */
export class Door<Req> {
  readonly shedder: Shedder
  readonly name: string
  private readonly options: ShedOptions<Req>
  private readonly headers: boolean
  private readonly random: () => number

  constructor(shedder: Shedder, options: ShedOptions<Req>) {
    knownOptions('shed', options, [...functions, 'headers', 'name', 'loop'])
    for (const key of functions) {
      if (options[key] !== undefined) functionOption(key, options[key])
    }
    this.shedder = shedder
    this.name = nameOption('name', options.name ?? shedder.name)
    this.options = options
    this.headers = options.headers ?? true
    this.random = options.random ?? Math.random
  }

  /** The call to ask about; nothing for one that is exempt, or that nobody can make sense of. */
  callFor(request: Req, context: Context, task: ShedTask = noTask): ShedCall | undefined {
    const { shedder, options } = this
    try {
      if (options.exempt?.(request, context) === true) {
        shedder.exempt()
        return undefined
      }
      const { route, tenant, criticality } = options
      return new ShedCall(
        importanceOf(criticality?.(request, context) ?? context.criticality),
        context.attempt > 1,
        tenant === undefined ? context.tenant : tenant(request, context),
        route?.(request, context),
        context.deadline,
        task,
      )
    } catch (error) {
      this.broken(error)
      return undefined
    }
  }

  refuse(call: ShedCall, refusal: Refusal, context: Context, now: number): Rejection {
    this.tell(context, now)
    return rejectionOf(this.name, call, refusal, this.random)
  }

  /** Tells the caller how hard the shedder is pressed, while it is. */
  tell(context: Context, now: number): void {
    if (!this.headers || !hasAnswerFields(context)) return
    const pressure = pressureText(toldPressure(this.shedder, now))
    if (pressure !== undefined) addAnswerField(context, pressureField, pressure)
  }

  broken(error: unknown): void {
    warn(
      'SPILLWAY_SHED_FAILED',
      `${this.name} let a call through because it could not decide: ${String(error)}`,
    )
  }
}

/** What the outcome of a call says about the load. */
export function resultOf(outcome: Outcome): Result {
  if (outcome === 'success') return 'success'
  return outcome === 'timeout' ? 'dropped' : 'ignore'
}
