import { chain, gate } from '../core/chain.ts'
import type { Context } from '../core/context.ts'
import type { Gate } from '../core/gate.ts'
import type { Handler, Middleware } from '../core/handler.ts'
import { functionOption, knownOptions, numberOption } from '../core/options.ts'
import { deadlineExceeded, Rejection } from '../core/rejection.ts'

/** A part of a page, with settings of its own. */
export interface Module<Req = any, Res = any> {
  readonly handler: Handler<Req, Res>
  /** The time it has. @default what is left for the page */
  readonly timeoutMs?: number
  /** Stands in for it, outside its time: `fallback(...)` or `stale(...)`. @default none */
  readonly fallback?: Middleware<any, any>
  /** Whether it is not to be called: see `switches`. Its fallback answers then, if it has one. @default never */
  readonly off?: (request: Req, context: Context) => boolean
}

/** With less time than this a module is not called. */
const MIN_USEFUL_MS = 1

/** The handler of a module within its time, and what stands in for it outside of that. */
export function moduleHandler(
  name: string,
  given: Handler<any, any> | Module,
  fallbackMs: () => number,
): Handler<any, any> {
  const module = typeof given === 'function' ? { handler: given } : given
  knownOptions(`The module ${name}`, module, ['handler', 'timeoutMs', 'fallback', 'off'])
  const handler = functionOption(`${name}.handler`, module.handler)
  const quota = gate(new QuotaGate(name, module, fallbackMs))
  if (module.fallback === undefined) return quota(handler) as Handler<any, any>
  return chain<any, any>(functionOption(`${name}.fallback`, module.fallback), quota)(handler) as Handler<
    any,
    any
  >
}

/**
 * Gives a module its share of the time that there is, and keeps some of what is left for its fallback:
 * end = min(now + timeoutMs, deadline - min(fallbackMs, left / 2)).
 */
class QuotaGate implements Gate<unknown, number> {
  readonly kind = 'deadline' as const
  readonly name: string
  private readonly timeoutMs: number
  private readonly off: ((request: any, context: Context) => boolean) | undefined
  private readonly keepMs: () => number

  constructor(name: string, module: Module, fallbackMs: () => number) {
    this.name = name
    this.timeoutMs = numberOption(`${name}.timeoutMs`, module.timeoutMs ?? Infinity, {
      min: 0,
      above: true,
      infinite: true,
    })
    this.off = module.off === undefined ? undefined : functionOption(`${name}.off`, module.off)
    this.keepMs = module.fallback === undefined ? () => 0 : fallbackMs
  }

  admit(request: unknown, context: Context, now: number): number | Rejection {
    if (this.off?.(request, context)) {
      return new Rejection({ reason: 'shed', policy: this.name, retry: 'never', detail: 'switched off' })
    }
    const left = context.deadline - now
    const end = Math.min(now + this.timeoutMs, context.deadline - Math.min(this.keepMs(), left / 2))
    if (end - now >= MIN_USEFUL_MS) return end
    return deadlineExceeded(this.name, false, `${Math.max(0, Math.floor(end - now))} ms left`)
  }

  narrow(context: Context, end: number): Context {
    if (end >= context.deadline) return context
    return context.until(end, () => deadlineExceeded(this.name, true, 'the time of the module is over'))
  }
}
