/** `npm run demo`: set-up, then demo/main.ts with the arguments given. Ctrl-C ends it, and that is a good end. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { root, setUp } from './setup.mjs'

const help = `npm run demo                    starts a gateway and the service behind it, and prints where
npm run demo -- --port 8080     on this port; 0 takes any that is free

Ctrl-C ends it.`

const args = process.argv.slice(2)
if (args.includes('--help') || args.includes('-h')) {
  console.log(help)
  process.exit(0)
}

for (const line of setUp({ needs: ['redis'] })) console.error(`set-up: ${line}`)

const demo = spawn(process.execPath, ['--import', 'tsx', 'demo/main.ts', ...args], {
  cwd: root,
  stdio: 'inherit',
  // What the demo starts finds `spillway/...` in src/ too, wherever it stands.
  env: { ...process.env, TSX_TSCONFIG_PATH: join(root, 'tsconfig.json') },
})

let stopped = false
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    // At a terminal, Ctrl-C reaches the demo by itself, and npm passes it on once more.
    const heard = signal === 'SIGINT' && process.stdin.isTTY
    if (!stopped && !heard) demo.kill(signal)
    stopped = true
  })
}
demo.on('exit', code => process.exit(stopped ? 0 : (code ?? 1)))
