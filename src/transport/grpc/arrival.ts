import type { Metadata } from '@grpc/grpc-js'
import type { Clock } from '../../core/clock.ts'
import { type OpenContext, openContext } from '../../core/context.ts'
import { type InboundOptions, readInbound } from '../wire/inbound.ts'

/** What grpc-js knows of every call of a server, in a handler as in an interceptor. */
export interface Arrival {
  getDeadline(): Date | number
  getPeer(): string
}

export interface ArrivalOptions extends InboundOptions {
  /** @default the process's own */
  readonly clock?: Clock | undefined
}

/** Opens the context of a call that has come in. Whoever opens it closes it when the call is over. */
export function openArrival(call: Arrival, metadata: Metadata, options: ArrivalOptions): OpenContext {
  const inbound = readInbound(name => textOf(metadata, name), options)
  const timeoutMs = Math.min(timeLeft(call), inbound.timeoutMs ?? Infinity)
  return openContext({ ...inbound, timeoutMs, clock: options.clock, caller: addressOf(call.getPeer()) })
}

/**
 * What was left when the call came in, less the time since. grpc-js takes `grpc-timeout` out of the metadata and
 * keeps a point in time of the wall clock instead, made when the headers came. Here, right after, is the one place
 * where that clock is read: from now on it may jump as it likes.
 */
function timeLeft(call: Arrival): number {
  const deadline = Number(call.getDeadline())
  return deadline === Infinity ? Infinity : Math.max(0, deadline - Date.now())
}

function textOf(metadata: Metadata, name: string): string | undefined {
  const values = metadata.get(name)
  return values.length === 0 ? undefined : values.join(',')
}

/** The address in `address:port`. */
function addressOf(peer: string): string {
  const colon = peer.lastIndexOf(':')
  return colon > 0 && /^\d+$/.test(peer.slice(colon + 1)) ? peer.slice(0, colon) : peer
}
