import { ServerResponse } from 'node:http'
import { pressureField, pressureStep, pressureText } from '../../internal/pressure-field.ts'
import type { Refusal } from '../../shedding/index.ts'
import { awayMs } from '../../shedding/refusal.ts'
import { rejectedHeader, retryAfterHeader, retryAfterMsHeader, shouldRetryHeader } from '../wire/advice.ts'

/** Among how many answers a refused client gets one at random. */
const VARIANTS = 16
/** For how long the text of an answer is used again: there is a `Date` in it, and what the server says of keeping connections. */
const KEPT_MS = 500

/** An answer that is made beforehand, and as Node wrote it when it was last sent. */
interface Answer {
  readonly status: number
  readonly reason: string
  readonly fields: readonly string[]
  text: string | undefined
  madeAt: number
}

/** What Node has of a response beside what it documents: its head once that is made, and whether the body was to be asked for. */
interface Sending extends ServerResponse {
  _header: unknown
  _expect_continue?: boolean
  maxRequestsOnConnectionReached?: boolean
}

const { writeHead } = ServerResponse.prototype

/**
 * Refuses requests with answers that are made beforehand: a status and header fields, on a connection that is
 * kept. There is no body, which would cost as much as all the rest, and nothing is logged.
 */
export class Refuser {
  private readonly random: () => number
  private readonly away: readonly (readonly string[])[]
  /** The answers by hundredths of the pressure, made when first needed. */
  private readonly pressed: (readonly Answer[] | undefined)[]

  constructor(random: () => number) {
    this.random = random
    this.away = Array.from({ length: VARIANTS }, (_, i) => {
      const ms = Math.round(awayMs(() => (i + 0.5) / VARIANTS))
      return fieldsOf('shed', retryAfterHeader, String(Math.ceil(ms / 1_000)), retryAfterMsHeader, String(ms))
    })
    this.pressed = []
  }

  /** `again`: it is a second try, and there should be no third. */
  refuse(response: ServerResponse, refusal: Refusal, again: boolean, pressure: number, now: number): void {
    if (refusal === 'gone' || response.headersSent || response.destroyed) return
    let which = VARIANTS + 1
    if (refusal !== 'late') which = again ? VARIANTS : Math.floor(this.random() * VARIANTS)
    this.send(response as Sending, this.answersAt(pressure)[which]!, now)
  }

  /**
   * Has Node write the head, or takes what it wrote a moment ago where it would write the same again: that is most
   * of what an answer without a body costs beside the system calls.
   */
  private send(response: Sending, answer: Answer, now: number): void {
    const { text } = answer
    if (!isPlain(response)) response.writeHead(answer.status, answer.reason, answer.fields as string[])
    else if (text !== undefined && now >= answer.madeAt && now - answer.madeAt < KEPT_MS) {
      // In the order in which Node sets them, so that all refusals have one hidden class.
      response.statusMessage = answer.reason
      response.statusCode = answer.status
      response._header = text
    } else {
      response.writeHead(answer.status, answer.reason, answer.fields as string[])
      answer.text = typeof response._header === 'string' ? response._header : undefined
      answer.madeAt = now
    }
    response.end()
  }

  private answersAt(pressure: number): readonly Answer[] {
    const step = pressureStep(pressure)
    let answers = this.pressed[step]
    if (answers === undefined) {
      const text = pressureText(pressure)
      const told = text === undefined ? [] : [pressureField, text]
      const unavailable = (fields: readonly string[]) =>
        made(503, 'Service Unavailable', [...fields, ...told])
      answers = [
        ...this.away.map(unavailable),
        unavailable(fieldsOf('shed', shouldRetryHeader, 'false')),
        made(504, 'Gateway Timeout', [...fieldsOf('deadline-exceeded', shouldRetryHeader, 'false'), ...told]),
      ]
      this.pressed[step] = answers
    }
    return answers
  }
}

/** Whether nobody else has to do with the head of a response, and its connection is kept. */
function isPlain(response: Sending): boolean {
  const { req } = response
  return (
    response.writeHead === writeHead &&
    response.shouldKeepAlive &&
    response.sendDate &&
    response._expect_continue !== true &&
    response.maxRequestsOnConnectionReached !== true &&
    req.httpVersionMinor === 1 &&
    response.getHeaderNames().length === 0
  )
}

function made(status: number, reason: string, fields: readonly string[]): Answer {
  return { status, reason, fields, text: undefined, madeAt: 0 }
}

function fieldsOf(reason: string, ...advice: readonly string[]): readonly string[] {
  return ['content-length', '0', rejectedHeader, reason, ...advice]
}
