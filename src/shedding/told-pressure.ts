import { warn } from '../core/warn.ts'
import type { Shedder } from './shedder.ts'

/** How hard a shedder is pressed, for answers to say: none where it fails to tell, because nobody's call is worth less for that. */
export function toldPressure(shedder: Shedder, now: number): number {
  try {
    return shedder.pressure(now)
  } catch (error) {
    warn('SPILLWAY_SHED_FAILED', `${shedder.name} could not tell how hard it is pressed: ${String(error)}`)
    return 0
  }
}
