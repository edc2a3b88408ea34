/**
 * What the scripts do on machines that lack a program, and how they say it. A PATH of nothing but a folder of
 * stand-ins is such a machine: nothing is installed and nothing is taken away.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { root } from './support/files.ts'

let machine: string
beforeEach(() => {
  machine = mkdtempSync(join(tmpdir(), 'spillway-machine-'))
  // What the stand-ins below are made of.
  for (const tool of ['sh', 'env', 'touch', 'chmod']) has(tool)
})
afterEach(() => rmSync(machine, { recursive: true }))

/** Puts a program of this machine on the PATH of the other. */
function has(tool: string): void {
  const found = spawnSync('sh', ['-c', `command -v ${tool}`], { encoding: 'utf8' }).stdout.trim()
  symlinkSync(found, join(machine, tool))
}

/** Puts a program on the PATH that does what the lines of shell say, and notes how it was called. */
function install(command: string, lines = ''): void {
  const file = join(machine, command)
  writeFileSync(file, `#!/bin/sh\necho "${command} $*" >> "${machine}/calls"\n${lines}\n`)
  chmodSync(file, 0o755)
}

function calls(): string[] {
  const file = join(machine, 'calls')
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []
}

/** Brings both programs, as the packages of Debian do. */
const aptGet = (failing = ''): string => `${failing}
for word in "$@"; do
  case "$word" in redis-server|chromium) touch "${machine}/$word"; chmod 755 "${machine}/$word";; esac
done`

interface Ended {
  readonly missing: readonly string[]
  readonly output: string
  readonly status: number | null
}

/** Sets the machine up for tests, as a user who is root or one who is not. */
function setUp({ asRoot = true, needs = ['redis', 'browser'] } = {}): Ended {
  const program = `
    process.getuid = () => ${asRoot ? 0 : 1000}
    const { setUp } = await import(${JSON.stringify(pathToFileURL(join(root, 'scripts', 'setup.mjs')).href)})
    const missing = setUp({ needs: ${JSON.stringify(needs)}, folders: [] })
    console.log('missing ' + JSON.stringify(missing))`
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    env: { PATH: machine },
  })
  const missing = JSON.parse(/^missing (.*)$/m.exec(stdout)?.[1] ?? 'null')
  return { missing, output: stdout + stderr, status }
}

const redisLine =
  'Not found: redis-server. Install the package `redis-server` and see that the command is on the PATH.'
const browserLine =
  'Not found: chromium or chromium-browser or google-chrome. Install the package `chromium` and see that the command is on the PATH.'

describe('the set-up', () => {
  it('installs nothing where nothing is missing, whatever the browser is called', () => {
    install('redis-server')
    install('google-chrome')
    install('apt-get')
    expect(setUp()).toMatchObject({ missing: [], output: 'missing []\n' })
    expect(calls()).toEqual([])
  })

  it('installs what is missing, and only that, where it may', () => {
    install('chromium')
    install('apt-get', aptGet())
    const { missing, output } = setUp()
    expect(missing).toEqual([])
    expect(output).toContain('apt-get install redis-server')
    const asked = calls()
    expect(asked[0]).toMatch(/^apt-get .*update$/)
    expect(asked[1]).toMatch(/^apt-get .*install -y --no-install-recommends redis-server$/)
    expect(asked).toHaveLength(2)
    expect(setUp().output).toBe('missing []\n')
  })

  it('uses sudo where that asks for no password', () => {
    install('sudo', 'shift\n"$@"')
    install('apt-get', aptGet())
    expect(setUp({ asRoot: false }).missing).toEqual([])
    expect(calls().filter(call => call.startsWith('sudo -n env')).length).toBe(2)
  })

  it.each([
    ['there is no sudo', () => {}],
    ['sudo wants a password', () => install('sudo', 'exit 1')],
  ])('says what to install where it may not: %s', (_why, prepare) => {
    prepare()
    install('apt-get', aptGet())
    const { missing, output } = setUp({ asRoot: false })
    expect(missing).toEqual([redisLine, browserLine])
    expect(output).not.toContain('apt-get')
    expect(calls().filter(call => call !== 'sudo -n true')).toEqual([])
  })

  it('says what to install on a system of another kind', () => {
    expect(setUp()).toMatchObject({ missing: [redisLine, browserLine], status: 0 })
  })

  it('shows why an installation fails, and says what to install', () => {
    install('apt-get', aptGet('echo "E: Unable to fetch some archives" >&2; exit 100'))
    const { missing, output, status } = setUp()
    expect(missing).toEqual([redisLine, browserLine])
    expect(output).toContain('E: Unable to fetch some archives')
    expect(status).toBe(0)
  })

  it('takes no word for it: a package that brings no command is as good as none', () => {
    install('apt-get')
    expect(setUp().missing).toEqual([redisLine, browserLine])
  })

  it('looks for nothing that is not needed', () => {
    expect(setUp({ needs: ['redis'] }).missing).toEqual([redisLine])
  })
})

describe('the scripts', () => {
  /** Runs a script on the empty machine, where it cannot prepare anything. */
  const run = (...args: string[]) =>
    spawnSync(process.execPath, args, { encoding: 'utf8', cwd: machine, env: { PATH: machine } })

  it.each([
    ['test', ['vitest run', 'N passed, N failed, N skipped']],
    ['demo', ['--port', 'Ctrl-C']],
    ['bench', ['overhead', '--quick']],
  ])('%s explains itself with --help, and prepares nothing for it', (script, words) => {
    const { stdout, stderr, status } = run(join(root, 'scripts', `${script}.mjs`), '--help')
    for (const word of words) expect(stdout).toContain(word)
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 })
    expect(calls()).toEqual([])
  })

  it('bench says which there are when it is asked for another', () => {
    const { stderr, status } = run(join(root, 'scripts', 'bench.mjs'), 'nonsense')
    expect(stderr).toContain('where NAME is one of: ')
    expect(status).toBe(1)
  })
})
