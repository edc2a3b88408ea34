/**
 * Prepares a fresh clone: the right Node.js, the npm packages of package-lock.json, and the programs that tests and
 * demo start. Runs before anything is installed, so it may import nothing but Node.js itself.
 */
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

/** What the machine must have: any of the commands will do, and the Debian package that brings the first. */
const programs = {
  redis: { commands: ['redis-server'], debian: 'redis-server' },
  browser: { commands: ['chromium', 'chromium-browser', 'google-chrome'], debian: 'chromium' },
}

/**
 * Installs what is missing. Answers with one line for each program that could neither be found nor installed;
 * whatever else goes wrong ends the process.
 *
 * @param {{ needs?: (keyof typeof programs)[], folders?: string[] }} [options]
 * @returns {string[]}
 */
export function setUp({ needs = [], folders = ['.'] } = {}) {
  checkNode()
  for (const folder of folders) installPackages(join(root, folder))
  return installPrograms(needs)
}

/** The benches there are, by name. */
export function benches() {
  const folder = join(root, 'bench')
  return readdirSync(folder).filter(name => existsSync(join(folder, name, 'main.ts')))
}

/** Runs a command of this project where everybody can see it; answers whether it succeeded. */
export function run(command, args, options = {}) {
  const path = `${join(root, 'node_modules', '.bin')}${delimiter}${process.env.PATH}`
  const { status, signal, error } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    ...options,
    env: { ...process.env, PATH: path, ...options.env },
  })
  if (error) console.error(`${command}: ${error.message}`)
  if (signal === 'SIGINT') process.exit(130)
  return status === 0
}

export function fail(message) {
  console.error(message)
  process.exit(1)
}

function checkNode() {
  const wanted = readJson(join(root, 'package.json')).engines.node.replace('>=', '')
  const [major, minor] = process.versions.node.split('.').map(Number)
  const [needMajor, needMinor] = wanted.split('.').map(Number)
  if (major > needMajor || (major === needMajor && minor >= needMinor)) return
  fail(
    `spillway needs Node.js ${wanted} or newer, and this is ${process.versions.node} (${process.execPath}).`,
  )
}

function installPackages(folder) {
  if (isInstalled(folder)) return
  if (lstatSync(join(folder, 'node_modules'), { throwIfNoEntry: false })?.isSymbolicLink()) {
    console.log(`${folder}/node_modules is a link and differs from package-lock.json; it is left as it is.`)
    return
  }
  const done = step(`npm ci in ${folder}`)
  const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  if (!run('npm', ['ci', ...quiet], { cwd: folder })) fail('npm ci failed; its message is above.')
  done()
}

/** Compares versions, not dates: a fresh checkout is always newer than what was installed before it. */
function isInstalled(folder) {
  const wanted = readJson(join(folder, 'package-lock.json')).packages
  const present = readJson(join(folder, 'node_modules', '.package-lock.json'))?.packages
  if (present === undefined) return false
  return Object.entries(wanted).every(([path, { version, optional }]) => {
    return optional || !path.startsWith('node_modules/') || present[path]?.version === version
  })
}

function installPrograms(needs) {
  const absent = () => needs.map(need => programs[need]).filter(({ commands }) => !commands.some(find))
  const packages = absent().map(program => program.debian)
  if (packages.length > 0) aptInstall(packages)
  return absent().map(({ commands, debian }) => {
    return `Not found: ${commands.join(' or ')}. Install the package \`${debian}\` and see that the command is on the PATH.`
  })
}

function aptInstall(packages) {
  if (!find('apt-get')) return
  const isRoot = process.getuid?.() === 0
  if (!isRoot && spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status !== 0) return
  const done = step(`apt-get install ${packages.join(' ')} (takes a minute or so)`)
  const apt = (...args) => {
    const command = [
      'env',
      'DEBIAN_FRONTEND=noninteractive',
      'apt-get',
      '-qq',
      '-o',
      'DPkg::Lock::Timeout=120',
      ...args,
    ]
    if (!isRoot) command.unshift('sudo', '-n')
    const [name, ...rest] = command
    const { status, stdout, stderr } = spawnSync(name, rest, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    if (status !== 0) console.error(`${stdout}${stderr}`)
    return status === 0
  }
  apt('update')
  if (apt('install', '-y', '--no-install-recommends', ...packages)) done()
}

function find(command) {
  return (process.env.PATH ?? '').split(delimiter).find(folder => {
    try {
      accessSync(join(folder, command), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

function step(what) {
  const start = performance.now()
  console.log(`set-up: ${what} ...`)
  return () => console.log(`set-up: done in ${((performance.now() - start) / 1000).toFixed(1)} s`)
}

function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}
