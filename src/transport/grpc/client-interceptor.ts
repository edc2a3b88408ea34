import type { InterceptingCall, Interceptor } from '@grpc/grpc-js'
import { defaultContext } from '../../core/ambient.ts'
import type { Handler } from '../../core/handler.ts'
import { functionOption, knownOptions } from '../../core/options.ts'
import { type Around, aroundMethod } from './around.ts'
import { InterceptedCall } from './intercepted-call.ts'
import { type Method, methodOf, outgoingCall, STRANGE_CONTEXT } from './method.ts'

export interface ClientInterceptorOptions {
  /** What stands around every call: `chain(...)`. @default nothing */
  readonly use?: Around
  /** Which methods may be called twice for once. @default none */
  readonly idempotent?: (method: Method) => boolean
}

/**
 * What `client` does, for code that calls generated clients itself: give it to their constructor, or to a call, as
 * one of `interceptors`. The context is that of the call in progress (`withContext`); a `deadline` among the options
 * of a call counts too.
 *
 * A call that the chain refuses never reaches the channel: an interceptor that takes a call from the channel and
 * then does not start it leaves the channel counting it for ever.
 */
export function clientInterceptor(options: ClientInterceptorOptions = {}): Interceptor {
  knownOptions('clientInterceptor', options, ['use', 'idempotent'])
  const { idempotent = never } = options
  functionOption('idempotent', idempotent)
  const run = aroundMethod(options.use)(attempt)

  return (callOptions, nextCall) => {
    const { path } = callOptions.method_definition
    const method = methodOf(path)
    const context = defaultContext()
    return new InterceptedCall(
      run,
      method,
      idempotent(method) ? context.with({ idempotent: true }) : context,
      callOptions,
      nextCall,
    ) as unknown as InterceptingCall
  }
}

const never = (): boolean => false

const attempt: Handler<any, unknown> = (message, context) => {
  const call = context.get(outgoingCall)
  if (call instanceof InterceptedCall) return call.attempt(message, context)
  return Promise.reject(new TypeError(STRANGE_CONTEXT))
}
