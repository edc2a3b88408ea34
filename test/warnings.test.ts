import { expect, test } from 'vitest'
import { filesBelow, read } from './support/files.ts'
import { anchorsOf, readPage } from './support/markdown.ts'

const sources = filesBelow('src', '.ts')
  .filter(file => !/\.test(-kit|-d)?\.ts$/.test(file))
  .map(file => [file, read(file)] as const)

test('what a coded message says to read is there', () => {
  const pages = new Map<string, ReadonlySet<string>>()
  const missing: string[] = []
  let links = 0
  for (const [file, source] of sources) {
    const guide = /^const GUIDE = '([^']+)'/m.exec(source)?.[1]
    for (const [, page = guide, anchor] of source.matchAll(/(?:(docs\/[\w-]+\.md)|\$\{GUIDE\})#(\w+)/g)) {
      links++
      if (page === undefined) missing.push(`${file}: no GUIDE`)
      else {
        if (!pages.has(page)) pages.set(page, anchorsOf(readPage(page, read(page)).prose))
        if (!pages.get(page)!.has(anchor!)) missing.push(`${file}: ${page}#${anchor}`)
      }
    }
  }
  expect(links).toBeGreaterThanOrEqual(5)
  expect(missing).toEqual([])
})
