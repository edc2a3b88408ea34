import { type ServerResponse, STATUS_CODES } from 'node:http'
import type { Problem } from './problem.ts'

/** Fields that a handler may have set for a body that is not going to be sent after all. */
const contentFields = [
  'accept-ranges',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-range',
  'etag',
  'expires',
  'last-modified',
  'trailer',
  'transfer-encoding',
] as const

/**
 * Sends `problem` as the answer. Fields set so far stay, as those of CORS must, but for what they say of another
 * body. The connection is kept: opening a new one costs both sides more than a refusal does.
 */
export function sendProblem(response: ServerResponse, problem: Problem): void {
  if (response.getHeaderNames().length > 0) {
    for (const name of contentFields) response.removeHeader(name)
  }
  const { httpVersionMajor, method } = response.req
  // HTTP/2 has no words for a status, and Node warns of them.
  if (httpVersionMajor > 1) response.writeHead(problem.status, problem.headers)
  else response.writeHead(problem.status, STATUS_CODES[problem.status], problem.headers)
  if (method === 'HEAD') response.end()
  else response.end(problem.body)
}
