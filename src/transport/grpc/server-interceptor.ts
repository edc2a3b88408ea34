import { Metadata, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js'
import type { Clock } from '../../core/clock.ts'
import { knownOptions } from '../../core/options.ts'
import { checkInbound, type InboundOptions } from '../wire/inbound.ts'
import { type Around, aroundMethod } from './around.ts'
import { contextOf } from './arrival.ts'
import { handOver, InterceptedArrival } from './intercepted-arrival.ts'
import { methodOf } from './method.ts'

export interface ServerInterceptorOptions extends InboundOptions {
  /**
   * What stands around every call: `chain(...)`. It runs before the request is read, which is what makes a refusal
   * cheap here, and so it sees `undefined` for a request. @default nothing
   */
  readonly use?: Around
  /** Where the time comes from. @default the process's own */
  readonly clock?: Clock
}

/**
 * What `serve` does, for code that has handlers of grpc-js's own kind: give it to a `Server` as one of
 * `interceptors`. In the handlers `currentContext()` is the context of the call.
 *
 * A middleware can refuse a call here, and bound it; it cannot answer in the handler's place.
 */
export function serverInterceptor(options: ServerInterceptorOptions = {}): ServerInterceptor {
  knownOptions('serverInterceptor', options, ['use', 'clock', 'timeoutMs', 'trustPeers'])
  checkInbound(options)
  const run = aroundMethod(options.use)(handOver)
  return ({ path, requestStream, responseStream }, call) => {
    let intercepted: InterceptedArrival | undefined
    return new ServerInterceptingCall(call, {
      start: next =>
        next({
          onReceiveMetadata: (metadata, proceed) => {
            const arrival = { metadata, peer: call.getPeer(), deadline: call.getDeadline() }
            const context = contextOf(arrival, options)
            intercepted = new InterceptedArrival(methodOf(path), call, arrival, context, () =>
              proceed(metadata),
            )
            intercepted.begin(run)
          },
          // Handlers of unary methods start with the half-close, not with the metadata.
          onReceiveMessage: (message, proceed) => intercepted!.within(() => proceed(message)),
          onReceiveHalfClose: proceed => intercepted!.within(proceed),
          onCancel: () => intercepted?.hungUp(requestStream || responseStream),
        }),
      sendMessage: (message, proceed) => {
        if (intercepted?.over !== true) proceed(message)
      },
      sendStatus: (answer, proceed) => {
        const { code, details, metadata } = answer
        if (intercepted === undefined) return proceed(answer)
        intercepted.answer({ code, details, metadata: metadata?.clone() ?? new Metadata() }, proceed)
      },
    })
  }
}
