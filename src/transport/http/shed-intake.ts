import type { IncomingMessage, ServerResponse } from 'node:http'
import { systemClock } from '../../core/clock.ts'
import { pressureField } from '../../internal/pressure-field.ts'
import type { Refusal, ShedCall } from '../../shedding/index.ts'
import { inboundHeaders } from '../wire/inbound.ts'
import type { ShedEntry } from '../wire/shed-entry.ts'
import { grpcTimeoutHeader, httpTimeoutHeader } from '../wire/timeout.ts'
import { Refuser } from './shed-refusal.ts'
import { ShedTask } from './shed-task.ts'

/** Hands a request on to whoever serves it. `expects`: its client waits to be asked for the body. */
type Serve = (request: IncomingMessage, response: ServerResponse, expects: boolean) => void

/** What a server does with requests that go by way of a shedder. */
export class ShedIntake {
  readonly entry: ShedEntry<IncomingMessage>
  readonly serve: Serve
  private readonly refuser: Refuser

  constructor(entry: ShedEntry<IncomingMessage>, serve: Serve) {
    this.entry = entry
    this.serve = serve
    this.refuser = new Refuser(entry.random)
  }

  take(request: IncomingMessage, response: ServerResponse, expects: boolean): void {
    const { entry } = this
    const task = new ShedTask(this, request, response, expects)
    const { rawHeaders } = request
    const read = tells(rawHeaders) ? (name: string) => rawHeader(rawHeaders, name) : undefined
    const call = entry.callFor(request, read, Infinity, task)
    if (call === undefined || !entry.submit(call, task)) this.serve(request, response, expects)
    else if (!task.told) task.wait()
  }

  /** Says in an answer that is yet to come how hard the shedder is pressed, while it is. */
  tell(call: ShedCall, response: ServerResponse): void {
    const pressure = this.entry.pressureFor(call)
    if (pressure !== undefined) response.setHeader(pressureField, pressure)
  }

  /** Takes off the time that a request may take what it has spent in the queue, for whoever reads it next. */
  shorten(call: ShedCall, request: IncomingMessage): void {
    if (call.deadline === Infinity) return
    const { headers } = request
    headers[httpTimeoutHeader] = String(Math.max(0, Math.floor(call.deadline - systemClock.now())))
    delete headers[grpcTimeoutHeader]
  }

  refuse(response: ServerResponse, call: ShedCall, refusal: Refusal): void {
    const now = systemClock.now()
    this.refuser.refuse(response, refusal, call.again, this.entry.pressureAt(now), now)
  }
}

/** The last letters of the fields in which a request may say something of itself, by the length of the name. */
const endings = new Int32Array(32)
for (const name of inboundHeaders) endings[name.length]! |= ending(name)

/** A bit for the last letter, the same for a small and a capital one. */
function ending(field: string): number {
  return 1 << (field.charCodeAt(field.length - 1) & 31)
}

/** Whether a request may say something of itself. Mostly it does not, and the ends of its fields tell. */
function tells(raw: readonly string[]): boolean {
  for (let i = 0; i < raw.length; i += 2) {
    const field = raw[i]!
    if (field.length < endings.length && (endings[field.length]! & ending(field)) !== 0) {
      if (inboundHeaders.includes(field.toLowerCase())) return true
    }
  }
  return false
}

/** A header field as it came. Reading one this way costs less than having all of them parsed. */
function rawHeader(raw: readonly string[], name: string): string | undefined {
  for (let i = 0; i < raw.length; i += 2) {
    const field = raw[i]!
    if (field.length === name.length && field.toLowerCase() === name) return raw[i + 1]
  }
  return undefined
}
