/** The package as it would be published: packed, installed in an empty project, and used from there. */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { publint } from 'publint'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { root, subPaths } from './support/files.ts'

const run = promisify(execFile)

/** What a sub-path needs that installing spillway does not bring: its optional peers, and their types. */
const peers: Readonly<Record<string, readonly string[]>> = {
  'spillway/express': ['express', '@types/express'],
  'spillway/grpc': ['@grpc/grpc-js'],
  'spillway/ratelimit/redis': ['ioredis'],
  'spillway/degrade/redis': ['ioredis'],
}

const exists = (index: string): boolean => existsSync(join(root, index))
const entries = Array.from(subPaths())
const names = entries.filter(([, index]) => exists(index)).map(([name]) => name)
const projects = [
  { project: 'without peers', names: names.filter(name => !(name in peers)), links: [] },
  { project: 'with peers', names, links: [...new Set(Object.values(peers).flat())] },
]

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'spillway-package-')))
let tarball: string
let contents: readonly string[]

beforeAll(async () => {
  const packed = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: root })
  const [{ filename, files }] = JSON.parse(packed.stdout)
  tarball = join(folder, filename)
  contents = files.map((file: { path: string }) => file.path)
  for (const { project, links } of projects) {
    const cwd = join(folder, project)
    mkdirSync(cwd)
    writeFileSync(join(cwd, 'package.json'), '{ "private": true }')
    const quiet = ['--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund']
    await run('npm', ['install', tarball, ...quiet], { cwd })
    for (const name of links) {
      const link = join(cwd, 'node_modules', name)
      mkdirSync(dirname(link), { recursive: true })
      symlinkSync(realpathSync(join(root, 'node_modules', name)), link)
    }
  }
}, 300_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('every sub-path in the exports of package.json has its folder in src/', () => {
  const dangling = entries.filter(([, index]) => !exists(index))
  expect(dangling.map(([name, index]) => `${name}: there is no ${index}`)).toEqual([])
})

test('holds the build, the sources for its maps, and no tests', () => {
  const wanted = /^(dist\/.*\.(js|d\.ts)(\.map)?|src\/.*\.ts|package\.json|README\.md|LICENSE|CHANGELOG\.md)$/
  expect(contents.filter(path => !wanted.test(path) || /\.test(-d)?\./.test(path))).toEqual([])
  const built = contents
    .filter(path => path.endsWith('.js'))
    .map(path => path.slice('dist/'.length, -'.js'.length))
  const missing = built.flatMap(name => {
    const belong = [`dist/${name}.d.ts`, `dist/${name}.js.map`, `src/${name}.ts`]
    return belong.filter(path => !contents.includes(path))
  })
  expect(missing).toEqual([])
})

test.each(projects)('imports and requires, $project', async ({ project, names }) => {
  const program = `
    const names = ${JSON.stringify(names)}
    const load = async () => {
      for (const name of names) {
        const imported = await import(name)
        if (Object.keys(imported).length === 0) throw new Error(name + ' exports nothing')
        // Two copies of one breaker would each see half of the failures.
        if (require(name) !== imported) throw new Error(name + ' is another module when it is required')
      }
      console.log('loaded ' + names.length)
    }
    load()`
  const { stdout, stderr } = await run(process.execPath, ['--input-type=commonjs', '-e', program], {
    cwd: join(folder, project),
  })
  expect(stdout.trim()).toBe(`loaded ${names.length}`)
  expect(stderr).toBe('')
})

test('opens nothing that it does not export', async () => {
  const program = `import('spillway/core/chain.js').catch(error => console.log(error.code))`
  const { stdout } = await run(process.execPath, ['-e', program], { cwd: join(folder, 'without peers') })
  expect(stdout.trim()).toBe('ERR_PACKAGE_PATH_NOT_EXPORTED')
})

test.each(projects)('has types for ES modules and for CommonJS, $project', async ({ project, names }) => {
  const cwd = join(folder, project)
  const consumer = [
    ...names.map((name, index) => `import * as m${index} from '${name}'`),
    `import { chain } from 'spillway'`,
    `import { deadline } from 'spillway/timeout'`,
    `const call = chain(deadline({ totalMs: 100 }))(async (request: number) => String(request))`,
    `export const answer: Promise<string> = call(5)`,
    `// @ts-expect-error the unit is part of the name`,
    `deadline({ total: 100 })`,
    `export const all = [${names.map((_, index) => `m${index}`).join(', ')}]`,
  ].join('\n')
  const compilerOptions = {
    module: 'nodenext',
    target: 'es2022',
    strict: true,
    noEmit: true,
    // The declarations themselves are to be sound, and to need nothing that is not there.
    skipLibCheck: false,
    types: ['node'],
    typeRoots: [join(root, 'node_modules', '@types')],
  }
  writeFileSync(join(cwd, 'consumer.mts'), consumer)
  writeFileSync(join(cwd, 'consumer.cts'), consumer)
  writeFileSync(join(cwd, 'tsconfig.json'), JSON.stringify({ compilerOptions }))
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const { stdout } = await run(process.execPath, [tsc], { cwd }).catch(error => error)
  expect(stdout).toBe('')
})

test('publint finds nothing', async () => {
  const { buffer } = await readFile(tarball)
  const { messages } = await publint({ pack: { tarball: buffer }, strict: true })
  // An export without a file has a test of its own, above.
  expect(messages.filter(({ code }) => code !== 'FILE_DOES_NOT_EXIST')).toEqual([])
})

test('the types resolve as attw wants them to, for an ESM-only package', async () => {
  const attw = join(root, 'node_modules', '.bin', 'attw')
  const entrypoints = names.map(name => name.replace('spillway', '.'))
  const options = [
    '--profile',
    'esm-only',
    '--format',
    'table',
    '--no-color',
    '--entrypoints',
    ...entrypoints,
  ]
  const { stdout, code } = await run(attw, [tarball, ...options]).catch(error => error)
  expect(code, stdout).toBeUndefined()
})
