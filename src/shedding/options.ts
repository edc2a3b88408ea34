import { choiceOption } from '../core/options.ts'
import type { Mode } from './shedder.ts'

export function modeOption(mode: unknown): Mode {
  return choiceOption('mode', mode, ['enforce', 'observe', 'off'])
}
