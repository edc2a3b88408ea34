import type { ServerResponse } from 'node:http'
import { awayMs } from '../../shedding/refusal.ts'
import { rejectedHeader, retryAfterHeader, retryAfterMsHeader, shouldRetryHeader } from '../wire/advice.ts'

/** Among how many answers a refused client gets one at random. */
const VARIANTS = 16

/**
 * Refuses requests with answers that are made beforehand: a status and header fields, on a connection that is
 * kept. There is no body, which would cost as much as all the rest.
 */
export class Refuser {
  private readonly away: readonly (readonly string[])[]
  private readonly never: readonly string[]
  private readonly random: () => number

  constructor(random: () => number) {
    this.random = random
    this.away = Array.from({ length: VARIANTS }, (_, i) => {
      const ms = Math.round(awayMs(() => (i + 0.5) / VARIANTS))
      return head(retryAfterHeader, String(Math.ceil(ms / 1_000)), retryAfterMsHeader, String(ms))
    })
    this.never = head(shouldRetryHeader, 'false')
  }

  /** `final`: nobody should try again. */
  refuse(response: ServerResponse, final: boolean): void {
    if (response.destroyed) return
    const fields = final ? this.never : this.away[Math.floor(this.random() * VARIANTS)]!
    response.writeHead(503, 'Service Unavailable', fields as string[])
    response.end()
  }
}

function head(...advice: readonly string[]): readonly string[] {
  return ['content-length', '0', rejectedHeader, 'shed', ...advice]
}
