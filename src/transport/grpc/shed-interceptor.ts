/**
 * A shedder in front of a gRPC server, at the earliest point that grpc-js has: when the metadata of a call is there
 * and nothing has been read yet. A refusal there costs half of what it costs in a handler.
 */
import type { Metadata, ServerInterceptor } from '@grpc/grpc-js'
import type { Shedder } from '../../shedding/index.ts'
import { ShedEntry, type ShedEntryOptions, shedderArgument } from '../wire/shed-entry.ts'
import { type Method, methodOf } from './method.ts'
import { ShedStatuses } from './shed-statuses.ts'
import { SheddableCall } from './sheddable-call.ts'

/** A call that has come in and has not been let in yet. */
export interface ArrivingCall {
  readonly method: Method
  readonly metadata: Metadata
  /** The address of the caller and its port. */
  readonly peer: string
}

export interface ShedInterceptorOptions extends ShedEntryOptions<ArrivingCall> {
  /** What is asked for; `adaptive` learns route by route what a call costs. @default the path of the method */
  readonly route?: (call: ArrivingCall) => string | undefined
  /** Calls that are never refused and never wait. @default those of grpc.health.v1.Health */
  readonly exempt?: (call: ArrivingCall) => boolean
}

/**
 * Puts `shedder` in front of all calls of a server: `new Server({ interceptors: [shedInterceptor(adaptive())] })`,
 * before the other interceptors. Those that have to wait do so before anything of theirs is read.
 *
 * A call counts as in flight until the head of its answer is sent, so that streams hold nothing for as long as they
 * last, or until it is cancelled. Only calls that are answered tell how long calls take.
 */
export function shedInterceptor(shedder: Shedder, options: ShedInterceptorOptions = {}): ServerInterceptor {
  shedderArgument('shedInterceptor', 'first', shedder)
  const entry = new ShedEntry('shedInterceptor', shedder, options, defaults)
  const statuses = new ShedStatuses(shedder.name)
  // As many as the server has methods.
  const methods = new Map<string, Method>()
  return ({ path }, call) => {
    let method = methods.get(path)
    if (method === undefined) {
      method = methodOf(path)
      methods.set(path, method)
    }
    return new SheddableCall(entry, statuses, method, call)
  }
}

const defaults = {
  route: (call: ArrivingCall): string => call.method.path,
  exempt: (call: ArrivingCall): boolean => call.method.service === 'grpc.health.v1.Health',
}
