import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { Figure } from './stats.ts'

export interface Report {
  readonly bench: string
  readonly quick: boolean
  /** The command that makes the same run again. */
  readonly command: string
  readonly figures: Readonly<Record<string, Figure>>
  /** Whatever else a full run should keep. */
  readonly details?: object
}

/** Whether `--quick` was asked for: smaller, the same shape. */
export const quick: boolean = process.argv.includes('--quick')

/** Says what is going on, on standard error, so that the last line of standard output stays the figures. */
export function progress(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** A table of text: the first column to the left, numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = [head, ...rows.map(row => row.map(cell => (typeof cell === 'number' ? round(cell) : cell)))]
  const widths = head.map((_, column) => Math.max(...cells.map(row => String(row[column] ?? '').length)))
  return cells
    .map(row =>
      row
        .map((cell, column) =>
          column === 0 ? String(cell).padEnd(widths[0]!) : String(cell).padStart(widths[column]!),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** Prints the figures as the last line; a full run is also written to `bench/results/`. */
export function finish(report: Report): void {
  const figures = Object.fromEntries(
    Object.entries(report.figures).map(([name, f]) => [name, round(f.value)]),
  )
  const spread = Object.fromEntries(
    Object.entries(report.figures).map(([name, f]) => [name, [round(f.low), round(f.high)]]),
  )
  const line = { bench: report.bench, quick: report.quick, node: process.version, figures, spread }
  if (!report.quick) {
    const folder = fileURLToPath(new URL('../results/', import.meta.url))
    mkdirSync(folder, { recursive: true })
    const machine = `${cpus().length} x ${cpus()[0]?.model.trim() ?? 'unknown'}`
    const date = new Date().toISOString().slice(0, 10)
    const kept = { ...line, date, machine, command: report.command, ...report.details }
    writeFileSync(`${folder}${report.bench}.json`, `${JSON.stringify(kept, undefined, 2)}\n`)
  }
  console.log(JSON.stringify(line))
}

function round(value: number): number {
  return Number(value.toPrecision(4))
}
