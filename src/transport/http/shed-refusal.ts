import type { ServerResponse } from 'node:http'
import { pressureField, pressureStep, pressureText } from '../../internal/pressure-field.ts'
import type { Refusal } from '../../shedding/index.ts'
import { awayMs } from '../../shedding/refusal.ts'
import { rejectedHeader, retryAfterHeader, retryAfterMsHeader, shouldRetryHeader } from '../wire/advice.ts'

/** Among how many answers a refused client gets one at random. */
const VARIANTS = 16

type Head = readonly string[]

/**
 * Refuses requests with answers that are made beforehand: a status and header fields, on a connection that is
 * kept. There is no body, which would cost as much as all the rest, and nothing is logged.
 */
export class Refuser {
  private readonly random: () => number
  private readonly away: readonly Head[]
  private readonly never: Head
  private readonly late: Head
  /** The same with a pressure, by hundredths of it, made when first needed. */
  private readonly pressed: (readonly Head[] | undefined)[]

  constructor(random: () => number) {
    this.random = random
    this.never = head('shed', shouldRetryHeader, 'false')
    this.late = head('deadline-exceeded', shouldRetryHeader, 'false')
    this.away = Array.from({ length: VARIANTS }, (_, i) => {
      const ms = Math.round(awayMs(() => (i + 0.5) / VARIANTS))
      return head('shed', retryAfterHeader, String(Math.ceil(ms / 1_000)), retryAfterMsHeader, String(ms))
    })
    this.pressed = []
  }

  /** `again`: it is a second try, and there should be no third. */
  refuse(response: ServerResponse, refusal: Refusal, again: boolean, pressure: number): void {
    if (refusal === 'gone' || response.headersSent || response.destroyed) return
    const heads = this.headsAt(pressure)
    if (refusal === 'late') send(response, 504, 'Gateway Timeout', heads[VARIANTS + 1]!)
    else {
      const which = again ? VARIANTS : Math.floor(this.random() * VARIANTS)
      send(response, 503, 'Service Unavailable', heads[which]!)
    }
  }

  private headsAt(pressure: number): readonly Head[] {
    const step = pressureStep(pressure)
    let heads = this.pressed[step]
    if (heads === undefined) {
      const text = pressureText(pressure)
      heads = [...this.away, this.never, this.late]
      if (text !== undefined) heads = heads.map(fields => [...fields, pressureField, text])
      this.pressed[step] = heads
    }
    return heads
  }
}

function send(response: ServerResponse, status: number, reason: string, fields: Head): void {
  response.writeHead(status, reason, fields as string[])
  response.end()
}

function head(reason: string, ...advice: readonly string[]): Head {
  return ['content-length', '0', rejectedHeader, reason, ...advice]
}
