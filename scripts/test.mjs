/** `npm test`: everything that must hold before a change lands, from a fresh clone on. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { benches, run, setUp } from './setup.mjs'

const help = `npm test                   set-up, then every check: format and lint, types, unused code, build, all tests
npm test -- src/retry      only the tests whose path contains src/retry
npm test -- -t 'half open' only the tests whose name matches; every option of \`vitest run\` passes through

Ends with one line, "N passed, N failed, N skipped"; each check that is not a test counts as one.`

const args = process.argv.slice(2)
if (args.includes('--help') || args.includes('-h')) {
  console.log(help)
  process.exit(0)
}

const everything = args.length === 0
const missing = setUp({ needs: ['redis', 'browser'], folders: everything ? ['.', 'bench'] : ['.'] })
for (const line of missing) console.error(`set-up: ${line}`)

if (!everything) process.exit(run('vitest', ['run', ...args]) ? 0 : 1)

const counts = { passed: 0, failed: 0, skipped: 0 }
const failures = missing.map(line => `set-up: ${line}`)
counts.failed += missing.length

function check(name, command, ...args) {
  console.log(`\n── ${name}: ${[command, ...args].join(' ')}`)
  const start = performance.now()
  const ok = run(command, args)
  console.log(`${ok ? 'ok' : 'FAILED'}, ${((performance.now() - start) / 1000).toFixed(1)} s`)
  counts[ok ? 'passed' : 'failed']++
  if (!ok) failures.push(name)
}

check('lint', 'biome', 'check', '--error-on-warnings', '.')
check('types', 'tsc', '--noEmit')
check('unused', 'knip')
check('build', 'npm', 'run', '--silent', 'build')
// The benches see the package as a user does, through dist/.
if (benches().length > 0) check('types of the benches', 'tsc', '-p', 'bench')

console.log('\n── tests: vitest run')
const folder = mkdtempSync(join(tmpdir(), 'spillway-'))
const tally = join(folder, 'tally.json')
const ok = run('vitest', ['run'], { env: { SPILLWAY_TALLY: tally } })
const tests = existsSync(tally)
  ? JSON.parse(readFileSync(tally, 'utf8'))
  : { passed: 0, failed: 1, skipped: 0 }
rmSync(folder, { recursive: true })
// Vitest can fail as a whole, with no test found say, while no test does.
if (!ok && tests.failed === 0) tests.failed = 1
for (const state of Object.keys(counts)) counts[state] += tests[state]
if (tests.failed > 0) failures.push('tests')

if (failures.length > 0) console.log(`\nFailed: ${failures.join(', ')}`)
console.log(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`)
process.exitCode = counts.failed === 0 ? 0 : 1
