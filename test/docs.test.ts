/**
 * Every `ts` block of the README and the docs is compiled and run as a reader would: as a program of its own, which
 * must end by itself. All of them and src/ are one TypeScript program, whose output lies in a folder that calls
 * itself `spillway`, so `spillway/...` means the sources as they are now.
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import ts from 'typescript'
import { beforeAll, describe, expect, test } from 'vitest'
import { filesBelow, read, root, subPaths } from './support/files.ts'
import { anchorsOf, type Block, linksOf, readPage } from './support/markdown.ts'

const patienceMs = 30_000
const output = join(root, '.cache', 'docs')

const files = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  ...['docs', 'demo', 'bench'].flatMap(folder => filesBelow(folder, '.md')),
]
const pages = new Map(
  files.filter(file => existsSync(join(root, file))).map(file => [file, readPage(file, read(file))]),
)
const blocks = [...pages.values()].flatMap(page => page.blocks)

/** The block as a source file. It has a name and lines that lead back to the page. */
const sourceOf = (block: Block): string => join(root, `${block.file}.${block.line}.ts`)
const programOf = (block: Block): string => join(output, `${block.file}.${block.line}.js`)

let program: ts.Program

beforeAll(() => {
  const config = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, root)
  Object.assign(options, {
    noEmit: false,
    rootDir: root,
    outDir: output,
    inlineSourceMap: true,
    moduleDetection: ts.ModuleDetectionKind.Force,
    declaration: false,
    isolatedDeclarations: false,
    noUnusedLocals: false,
    noUnusedParameters: false,
  } satisfies ts.CompilerOptions)

  const texts = new Map(blocks.map(block => [sourceOf(block), '\n'.repeat(block.line - 1) + block.code]))
  const host = ts.createCompilerHost(options)
  const { fileExists, readFile } = host
  host.fileExists = path => texts.has(path) || fileExists(path)
  host.readFile = path => texts.get(path) ?? readFile(path)
  program = ts.createProgram([...texts.keys()], options, host)

  rmSync(output, { recursive: true, force: true })
  mkdirSync(output, { recursive: true })
  program.emit()
  const exports = Array.from(subPaths(), ([name, source]) => [
    name.replace('spillway', '.'),
    `./${source.replace(/ts$/, 'js')}`,
  ])
  const manifest = { name: 'spillway', type: 'module', exports: Object.fromEntries(exports) }
  writeFileSync(join(output, 'package.json'), JSON.stringify(manifest))
})

function mistakesOf(block: Block): string[] {
  const source = program.getSourceFile(sourceOf(block))
  const mistakes = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
  return mistakes.map(({ start, messageText }) => {
    const line = source!.getLineAndCharacterOfPosition(start ?? 0).line + 1
    return `${block.file}:${line} ${ts.flattenDiagnosticMessageText(messageText, '\n')}`
  })
}

function execute(block: Block): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { cwd: root, timeout: patienceMs, env: { ...process.env, NODE_ENV: 'development' } }
    execFile(
      process.execPath,
      ['--enable-source-maps', programOf(block)],
      options,
      (error, stdout, stderr) => {
        const place = `${block.file}:${block.line}`
        if (error === null) resolve(stdout)
        else if (error.killed)
          reject(new Error(`${place} does not end by itself; something keeps the process alive`))
        else reject(new Error(`${place} fails\n${stdout}${stderr}`))
      },
    )
  })
}

describe.concurrent('code', () => {
  test('is found', () => {
    expect(blocks.length).toBeGreaterThan(0)
  })

  for (const block of blocks) {
    test(`${block.file}:${block.line} ${block.runs ? 'compiles and runs' : 'compiles'}`, async ({
      expect,
    }) => {
      expect(mistakesOf(block)).toEqual([])
      if (block.runs) await execute(block)
    })
  }
})

test('links within the project lead somewhere', () => {
  const broken = [...pages].flatMap(([file, page]) => {
    return linksOf(page.prose)
      .filter(({ target }) => !/^[a-z]+:/.test(target))
      .filter(({ target }) => {
        const [path, anchor] = target.split('#') as [string, string | undefined]
        const goal = path === '' ? file : join(dirname(file), path)
        const goalPage = pages.get(goal)
        if (!existsSync(join(root, goal))) return true
        return anchor !== undefined && goalPage !== undefined && !anchorsOf(goalPage.prose).has(anchor)
      })
      .map(({ line, target }) => `${file}:${line} ${target}`)
  })
  expect(broken).toEqual([])
})
