import { Metadata } from '@grpc/grpc-js'
import { parsePressure, pressureField } from '../../internal/pressure-field.ts'

/**
 * How hard a service is pressed, by its own account: 0 while nothing stands in the way of a call, up to 0.5 while
 * calls wait, above 0.5 while it refuses some. Takes the trailers of an answer, or what a call failed with; what
 * says nothing of it counts as 0.
 */
export function pressureOf(answer: unknown): number {
  const trailers =
    answer instanceof Metadata ? answer : (answer as { metadata?: unknown } | undefined)?.metadata
  const text = trailers instanceof Metadata ? trailers.get(pressureField)[0] : undefined
  return parsePressure(text?.toString())
}
