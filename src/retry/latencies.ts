/**
 * The latency that a given share of calls stays below, from an HDR histogram (Tene) that is emptied every period.
 *
 * The quantile is read once, at the end of each period, and stands for the next one: asking for it is then one load,
 * and a histogram is never read while it is being filled. A period without enough samples goes on until it has them.
 */
// The histogram alone: the front door of the package also loads a WebAssembly build and compression, at 50 ms.
import imported from 'hdr-histogram-js/dist/Int32Histogram.js'

// What the default of a CommonJS module is, Node.js and the bundlers see in two ways.
const Int32Histogram: typeof imported.default = imported.default ?? imported

/** Microseconds: what is recorded is rounded to these, and taken for an hour if it is more. */
const PER_MS = 1_000
const HIGHEST = 3_600_000 * PER_MS
/** Two digits: 1 % exact, which is more than a delay needs. */
const DIGITS = 2

export class Latencies {
  private readonly quantile: number
  private readonly minSamples: number
  private readonly periodMs: number
  private readonly filling: imported.default
  private since: number
  private latest: number | undefined

  constructor(quantile: number, minSamples: number, periodMs: number) {
    this.quantile = quantile
    this.minSamples = minSamples
    this.periodMs = periodMs
    this.filling = new Int32Histogram(1, HIGHEST, DIGITS)
    this.since = -Infinity
    this.latest = undefined
  }

  /** The quantile of the period before this one, in milliseconds; `undefined` until there has been one. */
  get value(): number | undefined {
    return this.latest
  }

  /** How many calls of the present period are known. */
  get samples(): number {
    return this.filling.totalCount
  }

  record(ms: number, now: number): void {
    this.filling.recordValue(Math.min(HIGHEST, Math.max(1, Math.round(ms * PER_MS))))
    if (this.filling.totalCount < this.minSamples || now - this.since < this.periodMs) return
    this.latest = this.filling.getValueAtPercentile(this.quantile * 100) / PER_MS
    this.filling.reset()
    this.since = now
  }

  reset(): void {
    this.filling.reset()
    this.since = -Infinity
    this.latest = undefined
  }
}
