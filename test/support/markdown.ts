/** A code block of a Markdown file. */
export interface Block {
  readonly file: string
  /** The line of its first line of code, from 1. */
  readonly line: number
  readonly code: string
  /** Whether it runs by itself; a block that needs a server is fenced as `ts no-run`. */
  readonly runs: boolean
}

interface Page {
  readonly blocks: readonly Block[]
  /** Everything but the code, line by line; lines of code are empty. */
  readonly prose: readonly string[]
}

const fence = /^( *)(```+)(\w*) *(.*)$/

export function readPage(file: string, text: string): Page {
  const blocks: Block[] = []
  const prose: string[] = []
  let open: { readonly match: RegExpExecArray; readonly line: number; readonly code: string[] } | undefined
  for (const [index, line] of text.split('\n').entries()) {
    const match = fence.exec(line)
    if (open === undefined) {
      prose.push(match === null ? line : '')
      if (match !== null) open = { match, line: index + 2, code: [] }
      continue
    }
    prose.push('')
    const [, indent, ticks, language, info] = open.match
    if (line.trim() !== ticks) {
      open.code.push(line.slice(indent!.length))
      continue
    }
    if (language === 'ts') {
      blocks.push({ file, line: open.line, code: open.code.join('\n'), runs: info !== 'no-run' })
    }
    open = undefined
  }
  if (open !== undefined) throw new Error(`${file}:${open.line} has a code block that never ends`)
  return { blocks, prose }
}

/** What links and pictures point at, with their lines, inline code left out. */
export function linksOf(
  prose: readonly string[],
): readonly { readonly line: number; readonly target: string }[] {
  return prose.flatMap((text, index) => {
    const targets = text
      .replaceAll(/`[^`]*`/g, '')
      .matchAll(/\]\(<?([^)\s>]+)|(?:src|href)="([^"]+)"|^\[[^\]]+\]: +(\S+)/g)
    return Array.from(targets, match => ({ line: index + 1, target: (match[1] ?? match[2] ?? match[3])! }))
  })
}

/** The anchors of a page, as GitHub makes them from its headings. */
export function anchorsOf(prose: readonly string[]): ReadonlySet<string> {
  const anchors = new Set<string>()
  for (const line of prose) {
    const heading = /^#+ +(.*?) *#*$/.exec(line)?.[1]
    for (const id of line.matchAll(/(?:id|name)="([^"]+)"/g)) anchors.add(id[1]!)
    if (heading === undefined) continue
    const words = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
    const slug = words.replaceAll(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-')
    let unique = slug
    for (let n = 1; anchors.has(unique); n++) unique = `${slug}-${n}`
    anchors.add(unique)
  }
  return anchors
}
