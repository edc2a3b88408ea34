import type { ServerResponse } from 'node:http'
import type { AnswerFields } from '../../core/answer-fields.ts'

/** Fields that parts of a chain add to the answer go straight to the response, while it can still take them. */
export class ResponseFields implements AnswerFields {
  private readonly response: ServerResponse

  constructor(response: ServerResponse) {
    this.response = response
  }

  get(name: string): string | undefined {
    const held = this.response.getHeader(name)
    return held === undefined ? undefined : Array.isArray(held) ? held.join(', ') : String(held)
  }

  set(name: string, value: string): void {
    const { response } = this
    if (response.headersSent || response.destroyed) return
    // Node refuses such characters with an exception, which would fail the call that wanted to say something.
    response.setHeader(name, value.replace(/[^\t\x20-\x7e]/g, '?'))
  }
}
