/** Who may import whom is written in biome.json; this shows that each of those rules bites, and only where it should. */
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { root } from './support/files.ts'

interface Probe {
  readonly may: readonly string[]
  readonly mayNot: readonly string[]
}

const probes: Readonly<Record<string, Probe>> = {
  'src/index.ts': { may: ['./core/gate.ts'], mayNot: ['./internal/timer.ts', './retry/index.ts'] },
  'src/core/a.ts': { may: ['./gate.ts'], mayNot: ['../internal/timer.ts', '../timeout/deadline.ts'] },
  'src/internal/a.ts': { may: ['./b.ts', '../core/gate.ts'], mayNot: ['../retry/retry.ts'] },
  'src/testing/a.ts': { may: ['../core/clock.ts', '../internal/timer.ts'], mayNot: ['../retry/retry.ts'] },
  'src/retry/a.ts': {
    may: ['./b.ts', '../core/gate.ts', '../internal/timer.ts'],
    mayNot: [
      '../breaker/index.ts',
      '../transport/http/index.ts',
      '../observe/index.ts',
      '../testing/index.ts',
    ],
  },
  'src/retry/a.test.ts': { may: ['../testing/index.ts', '../breaker/index.ts'], mayNot: [] },
  'src/ratelimit/redis/a.ts': {
    may: ['../gcra.ts', '../../core/gate.ts', '../../internal/timer.ts'],
    mayNot: ['../../breaker/circuit.ts'],
  },
  'src/transport/http/a.ts': {
    may: ['../wire/inbound.ts', '../../core/gate.ts', '../../timeout/index.ts'],
    mayNot: ['../../observe/index.ts', '../../testing/index.ts'],
  },
  'src/observe/dashboard/a.ts': {
    may: ['../b.ts', '../../core/gate.ts', '../../breaker/index.ts'],
    mayNot: ['../../transport/http/index.ts', '../../testing/index.ts'],
  },
  'demo/shop/a.ts': {
    may: ['spillway', 'spillway/ratelimit/redis', '../lib/b.ts'],
    mayNot: ['../../src/index.ts', '../../src/retry/index.ts'],
  },
  'bench/stack/a.ts': { may: ['spillway/retry', '../lib/b.ts'], mayNot: ['../../dist/index.js'] },
}

const forms: readonly ((specifier: string) => string)[] = [
  specifier => `import { a } from '${specifier}'`,
  specifier => `import type { b } from '${specifier}'`,
  specifier => `export { c } from '${specifier}'`,
  specifier => `const d = await import('${specifier}')`,
]

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'spillway-imports-')))
afterAll(() => rmSync(folder, { recursive: true }))

/** Each import has a line of its own in a file of its own, so a report is told by its place. */
function write(file: string, specifiers: readonly string[]): string[] {
  const lines = specifiers.flatMap(specifier => forms.map(form => form(specifier)))
  mkdirSync(join(folder, dirname(file)), { recursive: true })
  writeFileSync(join(folder, file), lines.join('\n'))
  return lines.map((line, index) => `${file}:${index + 1} ${line}`)
}

/** What one rule reports below the folder, set as biome.json sets it, as `file:line`. */
function lint(rule: string): string[] {
  copyFileSync(join(root, 'biome.json'), join(folder, 'biome.json'))
  const options = ['--vcs-enabled=false', '--max-diagnostics=none', '--reporter=github']
  const biome = join(root, 'node_modules', '.bin', 'biome')
  const { stdout } = spawnSync(biome, ['lint', ...options, folder], { cwd: folder, encoding: 'utf8' })
  return Array.from(stdout.matchAll(/^::error title=(.*?),file=(.*?),line=(\d+)/gm))
    .filter(([, title]) => title === `lint/${rule}`)
    .map(([, , file, line]) => `${file!.slice(folder.length + 1)}:${line}`)
}

test('the linter refuses what a folder may not import, however it is written, and nothing else', () => {
  const places = new Map<string, string>()
  const refused: string[] = []
  for (const [file, { may, mayNot }] of Object.entries(probes)) {
    const written = write(file, [...mayNot, ...may])
    for (const place of written) places.set(place.split(' ')[0]!, place)
    refused.push(...written.slice(0, mayNot.length * forms.length))
  }
  const found = lint('style/noRestrictedImports').map(place => places.get(place))
  expect(found.toSorted()).toEqual(refused.toSorted())
})

test('the linter refuses a cycle of imports', () => {
  write('src/cycle/a.ts', ['./b.ts'])
  write('src/cycle/b.ts', ['./c.ts'])
  write('src/cycle/c.ts', ['./a.ts'])
  const found = lint('suspicious/noImportCycles').map(place => place.split(':')[0])
  expect(new Set(found)).toEqual(new Set(['src/cycle/a.ts', 'src/cycle/b.ts', 'src/cycle/c.ts']))
})
