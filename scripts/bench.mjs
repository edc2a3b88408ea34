/** `npm run bench:NAME`: set-up, a fresh build, then bench/NAME/main.ts, which measures dist/ as users get it. */
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
if (!run('npm', ['run', '--silent', 'build'])) fail('The build failed; its message is above.')

const env = { NODE_ENV: 'production', TSX_TSCONFIG_PATH: join(root, 'bench', 'tsconfig.json') }
const ok = run(process.execPath, ['--import', 'tsx', join('bench', name, 'main.ts'), ...args], { env })
process.exitCode = ok ? 0 : 1
