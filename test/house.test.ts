/** The rules of the house that neither the compiler nor the linter knows. CONTRIBUTING.md gives the reasons. */
import { basename, dirname } from 'node:path'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'
import { filesBelow, read, subPaths } from './support/files.ts'

const longestFile = 320
const longestUntested = 60

const policyFolder = /^src\/(ratelimit|shedding|timeout|retry|breaker|isolation|loadbalance|degrade|fault)\//

const all = filesBelow('src', '.ts')
const sources = all.filter(file => !/\.test(-d)?\.ts$/.test(file))

function parse(file: string, text: string): ts.SourceFile {
  return ts.createSourceFile(file, text, ts.ScriptTarget.ESNext, true)
}

function* nodesOf(node: ts.Node): Generator<ts.Node> {
  yield node
  for (const child of node.getChildren()) yield* nodesOf(child)
}

const members = new Map(
  Object.entries({
    'Date.now': 'the wall clock jumps; take `now` as an argument, or ask the Clock',
    'AbortSignal.any': 'it keeps memory for as long as its longest-lived signal; link scopes',
    'AbortSignal.timeout': 'no manual clock can move it; use a deadline',
    'Promise.race': 'the promise that lost stays behind; settle one promise by hand',
  }),
)
const calls = new Map(
  Object.entries({
    'Math.random':
      'take `random` as an option, with Math.random for its default, so that a test can give a seed',
  }),
)
const policyCalls = new Map(
  Object.entries({
    setTimeout: 'a mechanism owns no timer, and a middleware waits on the Clock',
    setInterval: 'a mechanism owns no timer, and a middleware waits on the Clock',
  }),
)
const modules = new Map(
  Object.entries({
    'node:timers/promises': 'no manual clock can move it; use `sleep`',
    'timers/promises': 'no manual clock can move it; use `sleep`',
  }),
)

/** What a source says that it may not, as `file:line what: why`. */
function violations(file: string, text: string): string[] {
  const source = parse(file, text)
  const found: string[] = []
  const report = (node: ts.Node, what: string, why: string | undefined): void => {
    if (why === undefined) return
    found.push(`${file}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1} ${what}: ${why}`)
  }
  for (const node of nodesOf(source)) {
    if (ts.isPropertyAccessExpression(node)) report(node, node.getText(), members.get(node.getText()))
    if (ts.isStringLiteral(node)) report(node, node.text, modules.get(node.text))
    if (!ts.isCallExpression(node)) continue
    const callee = node.expression.getText()
    report(node, `${callee}()`, calls.get(callee))
    if (policyFolder.test(file)) report(node, `${callee}()`, policyCalls.get(callee))
  }
  return found
}

/** Whether nothing of a file is left at run time. */
function isTypesOnly(source: ts.SourceFile): boolean {
  return source.statements.every(statement => {
    return (
      ts.isInterfaceDeclaration(statement) ||
      ts.isTypeAliasDeclaration(statement) ||
      ts.isImportDeclaration(statement) ||
      ts.isExportDeclaration(statement)
    )
  })
}

const linesOf = (file: string): number => read(file).trimEnd().split('\n').length

function hasTest(file: string): boolean {
  const stem = basename(file, '.ts')
  return all.some(other => {
    return (
      dirname(other) === dirname(file) && basename(other).startsWith(`${stem}.`) && other.endsWith('.test.ts')
    )
  })
}

describe('src', () => {
  test('takes time and chance only from what it is given', () => {
    expect(sources.flatMap(file => violations(file, read(file)))).toEqual([])
  })

  test.each([
    ['src/core/a.ts', 'const start = Date.now()', 'Date.now'],
    ['src/core/a.ts', 'const clock = { now: Date.now }', 'Date.now'],
    ['src/http/a.ts', 'fetch(url, { signal: AbortSignal.timeout(5) })', 'AbortSignal.timeout'],
    ['src/http/a.ts', 'AbortSignal.any([a, b])', 'AbortSignal.any'],
    ['src/core/a.ts', 'await Promise.race([a, b])', 'Promise.race'],
    ['src/core/a.ts', "import { setTimeout } from 'node:timers/promises'", 'node:timers/promises'],
    ['src/core/a.ts', "const { setTimeout } = await import('timers/promises')", 'timers/promises'],
    ['src/retry/a.ts', 'const jitter = Math.random() * 5', 'Math.random()'],
    ['src/retry/a.ts', 'const timer = setTimeout(wake, 5)', 'setTimeout()'],
  ])('would be caught in %s: %s', (file, text, what) => {
    expect(violations(file, `// a comment\n${text}`)).toEqual([
      expect.stringContaining(`${file}:2 ${what}: `),
    ])
  })

  test.each([
    ['src/retry/a.ts', '// Date.now() and Promise.race() are for others', 'a comment'],
    ['src/retry/a.ts', 'const random = options.random ?? Math.random', 'a default'],
    ['src/core/timing-wheel.ts', 'setTimeout(tick, 5)', 'the clock itself'],
  ])('may say in %s: %s (%s)', (file, text) => {
    expect(violations(file, text)).toEqual([])
  })

  test(`has no file over ${longestFile} lines`, () => {
    const long = sources.filter(file => linesOf(file) > longestFile)
    expect(long.map(file => `${file}: ${linesOf(file)} lines. Is it really one concept?`)).toEqual([])
  })

  test(`has a test beside every file over ${longestUntested} lines`, () => {
    const untested = sources.filter(file => {
      const exempt = basename(file) === 'index.ts' || linesOf(file) <= longestUntested || hasTest(file)
      return !exempt && !isTypesOnly(parse(file, read(file)))
    })
    expect(untested).toEqual([])
  })

  test('has for an index only a list of names that are exported elsewhere', () => {
    const others = all
      .filter(file => basename(file) === 'index.ts')
      .filter(file => {
        return !parse(file, read(file)).statements.every(statement => {
          return ts.isExportDeclaration(statement) && statement.exportClause !== undefined
        })
      })
    expect(others).toEqual([])
  })
})

test('spillway/... is imported only by names that package.json exports', () => {
  const files = ['src', 'test', 'demo', 'bench'].flatMap(folder => filesBelow(folder, '.ts'))
  const dangling = files.flatMap(file => {
    const specifiers = ts.preProcessFile(read(file)).importedFiles.map(({ fileName }) => fileName)
    return specifiers
      .filter(specifier => /^spillway($|\/)/.test(specifier) && !subPaths().has(specifier))
      .map(specifier => `${file}: ${specifier}`)
  })
  expect(dangling).toEqual([])
})

test.each(['package-lock.json', 'bench/package-lock.json'])('%s names no registry', file => {
  const { packages } = JSON.parse(read(file)) as { packages: Record<string, { resolved?: string }> }
  const resolved = Object.values(packages).flatMap(entry => entry.resolved ?? [])
  expect(resolved.filter(address => address.includes('://'))).toEqual([])
})
