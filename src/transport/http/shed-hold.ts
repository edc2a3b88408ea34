import type { IncomingMessage, ServerResponse } from 'node:http'
import { systemClock } from '../../core/clock.ts'
import type { ShedCall } from '../../shedding/index.ts'

type WriteHead = (...args: unknown[]) => ServerResponse

const held: unique symbol = Symbol('spillway.held')

interface Held {
  readonly call: ShedCall
  readonly writeHead: WriteHead
}

type Holder = ServerResponse & { [held]?: Held | undefined }

/** Counts a request as in flight until the head of its answer is sent, or until nobody can be answered any more. */
export function holdUntilHead(call: ShedCall, request: IncomingMessage, response: ServerResponse): void {
  const holder = response as Holder
  holder[held] = { call, writeHead: response.writeHead as WriteHead }
  response.writeHead = writeHead as typeof response.writeHead
  response.once('close', closed)
  // Node does not tell a response that waits behind others of its connection that the connection has closed.
  if (response.socket === null) request.socket.once('close', () => closed.call(holder))
}

function writeHead(this: Holder, ...args: unknown[]): ServerResponse {
  const hold = this[held]!
  const answer = hold.writeHead.apply(this, args)
  settle(hold.call, args[0] as number)
  return answer
}

function closed(this: Holder): void {
  this[held]?.call.ignore(systemClock.now())
}

/** What an answer says about the load: errors that come at once would make requests look quick. */
function settle(call: ShedCall, status: number): void {
  const now = systemClock.now()
  if (status < 400) call.success(now)
  else if (status === 503 || status === 504) call.dropped(now)
  else call.ignore(now)
}
