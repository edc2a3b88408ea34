/** `npm run bench:NAME`: set-up, a build where the last is not new, then bench/NAME/main.ts, which measures dist/ as users get it. */
import { readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { benches, fail, root, run, setUp } from './setup.mjs'

const [name, ...args] = process.argv.slice(2)
const names = benches()
if (!names.includes(name)) {
  const help = `node scripts/bench.mjs NAME [--quick], where NAME is one of: ${names.join(', ')}`
  if (name !== '--help' && name !== '-h') fail(help)
  console.log(help)
  process.exit(0)
}

for (const line of setUp({ needs: ['redis'], folders: ['.', 'bench'] })) console.error(`set-up: ${line}`)
/** Written when a build is whole; every build removes it first. */
const stamp = join(root, 'dist', '.built')
if (!isBuilt()) {
  // Types are looked at by `npm test`; without that a build takes half the time, and is the same.
  if (!run('npm', ['run', '--silent', 'build', '--', '--noCheck']))
    fail('The build failed; its message is above.')
  writeFileSync(stamp, '')
}

const env = { NODE_ENV: 'production', TSX_TSCONFIG_PATH: join(root, 'bench', 'tsconfig.json') }
const ok = run(process.execPath, ['--import', 'tsx', join('bench', name, 'main.ts'), ...args], { env })
process.exitCode = ok ? 0 : 1

function isBuilt() {
  const built = changedAt(stamp)
  const inputs = [
    'src',
    ...readdirSync(join(root, 'src'), { recursive: true }).map(name => join('src', name)),
  ]
  inputs.push('tsconfig.json', 'tsconfig.build.json', 'package.json')
  return inputs.every(name => changedAt(join(root, name)) < built)
}

function changedAt(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
}
