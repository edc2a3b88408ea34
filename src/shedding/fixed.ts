import { register } from '../core/mechanism.ts'
import { numberOption } from '../core/options.ts'
import { type Law, Limiter, type LimiterSnapshot } from './limiter.ts'
import type { Shedder, ShedderOptions } from './shedder.ts'

export interface FixedOptions extends ShedderOptions {
  /** How many calls may be in flight. */
  readonly limit: number
}

export type FixedSnapshot = LimiterSnapshot

/**
 * Lets a fixed number of calls be in flight. For where the right number is known, as for a pool of connections;
 * nothing that changes is noticed.
 */
export function fixed(options: FixedOptions): Shedder<FixedOptions, FixedSnapshot> {
  return register(new Limiter('fixed', new FixedLaw(options), ['limit'], options))
}

class FixedLaw implements Law<FixedOptions> {
  limit: number

  constructor({ limit }: FixedOptions) {
    this.limit = checkLimit(limit)
  }

  sample(): void {}

  update({ limit = this.limit }: Partial<FixedOptions>): void {
    this.limit = checkLimit(limit)
  }

  state(): object {
    return {}
  }

  reset(): void {}
}

function checkLimit(limit: unknown): number {
  return numberOption('limit', limit, { min: 1, integer: true })
}
