const given = new Set<string>()
/** Warnings are about code, not about traffic, so there are few; past this many, new ones are dropped. */
const MAX_WARNINGS = 1_000

/** Warns on the process's `warning` event, once for each distinct message. */
export function warn(code: `SPILLWAY_${string}`, message: string): void {
  if (given.has(message) || given.size >= MAX_WARNINGS) return
  given.add(message)
  process.emitWarning(message, { type: 'SpillwayWarning', code })
}
