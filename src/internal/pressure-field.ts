/**
 * How a service tells its callers how hard it is pressed, in a header field over HTTP and in a trailer over gRPC:
 *
 *   x-pressure: 0.00 to 1.00    nothing at all while nothing stands in the way of a call
 */
export const pressureField = 'x-pressure'

const STEPS = 100
const texts: readonly string[] = Array.from({ length: STEPS + 1 }, (_, step) => (step / STEPS).toFixed(2))

/** In whole hundredths, which is as exact as it is told. */
export function pressureStep(pressure: number): number {
  return Math.round(STEPS * Math.min(1, Math.max(0, pressure)))
}

/** What an answer says of a pressure; nothing where there is none to speak of. */
export function pressureText(pressure: number): string | undefined {
  if (pressure === 0) return undefined
  const step = pressureStep(pressure)
  return step > 0 ? texts[step] : undefined
}

/** The pressure that an answer tells of: 0 where it says nothing, or nothing that makes sense. */
export function parsePressure(text: string | null | undefined): number {
  return text != null && /^(?:0(?:\.\d{1,6})?|1(?:\.0{1,6})?)$/.test(text) ? Number(text) : 0
}
