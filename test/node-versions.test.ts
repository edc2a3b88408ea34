/**
 * The releases of Node.js that the kit is for. Whichever of them runs the tests, what stands closest to Node is tested
 * on the other as well: the intake, which uses fields of a response that are not documented, the queue, which lives
 * on the order of promises, ticks and immediates, and the connections, which are accepted one in each turn.
 *
 * The other release comes from npm, where it is the package `node`.
 */
import { execFile } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { root } from './support/files.ts'

const releases = ['20', '24']
const own = process.versions.node.split('.')[0]!

const tests = [
  'src/transport/http/shed-',
  'src/transport/http/frameworks',
  'src/transport/grpc/shed-interceptor',
  'src/shedding/runner',
  'src/shedding/shed.test',
  'src/shedding/shed-in-line',
]

/** Without what vitest and npm have said to this process. */
const env = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) => !/^(VITEST|SPILLWAY_|NODE_|npm_(lifecycle|package))/.test(name),
  ),
)

/** The program of a release of Node.js, from the cache of npx or from the registry. */
async function nodeOf(release: string): Promise<string> {
  const args = ['--yes', '--package', `node@${release}`, '--', 'node', '-p', 'process.execPath']
  try {
    // The package has to run its own set-up: it picks the program for the machine.
    const { stdout } = await promisify(execFile)('npx', args, {
      cwd: tmpdir(),
      env: { ...env, npm_config_ignore_scripts: 'false' },
    })
    return stdout.trim()
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string }
    throw new Error(
      `Node.js ${release} could not be installed, so nothing was tested on it: npx ${args.join(' ')} failed. ` +
        `It needs the npm registry, or a cache that has the package node@${release}.\n${stderr ?? message}`,
    )
  }
}

test.each(releases.filter(release => release !== own))(
  'Node %s: the intake, the queue and the refusals pass the same tests',
  { timeout: 240_000 },
  async release => {
    const node = await nodeOf(release)
    const { stdout: version } = await promisify(execFile)(node, ['--version'])
    expect(version).toMatch(new RegExp(`^v${release}\\.`))
    const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs')
    const { stdout, stderr, code } = await promisify(execFile)(node, [vitest, 'run', ...tests], {
      cwd: root,
      env: { ...env, NO_COLOR: '1' },
      maxBuffer: 2 ** 26,
    }).catch(error => error)
    expect(code, `${stdout}\n${stderr}`).toBeUndefined()
    const [, passed, failed] = /(\d+) passed, (\d+) failed, 0 skipped\s*$/.exec(stdout) ?? []
    expect(Number(passed)).toBeGreaterThan(100)
    expect(failed).toBe('0')
  },
)

test('without a registry it is said what failed, and what it needs', async () => {
  const bad = { npm_config_registry: 'http://127.0.0.1:9/', npm_config_fetch_retries: '0' }
  const saved = { ...env }
  Object.assign(env, bad, { npm_config_cache: join(tmpdir(), `spillway-no-npm-${process.pid}`) })
  try {
    await expect(nodeOf('24')).rejects.toThrow(
      /^Node\.js 24 could not be installed.*: npx .* failed\. It needs the npm registry/,
    )
  } finally {
    for (const name of Object.keys(env)) delete env[name]
    Object.assign(env, saved)
  }
})
