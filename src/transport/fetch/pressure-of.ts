import { parsePressure, pressureField } from '../../internal/pressure-field.ts'
import { HttpFailure } from './http-failure.ts'

/**
 * How hard a service is pressed, by its own account: 0 while nothing stands in the way of a call, up to 0.5 while
 * calls wait, above 0.5 while it refuses some. Takes a response, or what a call failed with; what says nothing of
 * it counts as 0.
 */
export function pressureOf(answer: unknown): number {
  const headers = (
    answer instanceof HttpFailure ? answer.response : (answer as Partial<Response> | undefined)
  )?.headers
  return headers instanceof Object && 'get' in headers ? parsePressure(headers.get(pressureField)) : 0
}
