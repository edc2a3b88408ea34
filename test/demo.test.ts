import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { type Browser, chromium } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))

interface Watched {
  readonly child: ChildProcess
  readonly output: () => string
  readonly ended: Promise<number | null>
}

function watch(child: ChildProcess): Watched {
  let text = ''
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.on('data', chunk => {
      text += chunk
    })
  }
  const ended = new Promise<number | null>(resolve => {
    child.once('close', code => resolve(code))
  })
  return { child, output: () => text, ended }
}

/** Runs the demo as `npm run demo` does, without the set-up. */
const demo = (...args: string[]): Watched =>
  watch(spawn(process.execPath, ['--import', 'tsx', 'demo/main.ts', ...args], { cwd: root }))

const browserPath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  existsSync,
)
const browserFlags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

describe('the demo', () => {
  const running = demo('--port', '0')
  let url = ''
  let browser: Browser

  beforeAll(async () => {
    while (!running.output().includes('Ctrl-C')) {
      if (running.child.exitCode !== null) throw new Error(running.output())
      await new Promise(resolve => setTimeout(resolve, 20))
    }
    url = /http:\/\/127\.0\.0\.1:\d+/.exec(running.output())![0]
    browser = await chromium.launch({ executablePath: browserPath ?? 'chromium', args: browserFlags })
  })
  afterAll(async () => {
    await browser?.close()
    running.child.kill('SIGINT')
    expect(await running.ended).toBe(0)
  })

  it('answers, in time whatever the service does', async () => {
    const good = await fetch(`${url}/products/1`)
    expect(good.status).toBe(200)
    const product = (await good.json()) as { answeredWithinMs: number }
    expect(product.answeredWithinMs).toBeLessThanOrEqual(300)
    const hung = await fetch(`${url}/products/1?mood=hangs`)
    expect(hung.status).toBe(504)
    expect(hung.headers.get('content-type')).toBe('application/problem+json')
    const failed = await fetch(`${url}/products/1?mood=fails`)
    expect(failed.status).toBe(503)
    expect(failed.headers.get('x-should-retry')).toBe('false')
    const { cancelledCalls } = (await (await fetch(`${url}/state`)).json()) as { cancelledCalls: number }
    expect(cancelledCalls).toBeGreaterThan(0)
  })

  it('shows it on a page, without an error in the console', async () => {
    const page = await browser.newPage({ viewport: { width: 1000, height: 620 } })
    const errors: string[] = []
    page.on('pageerror', error => errors.push(error.message))
    await page.goto(url)
    for (const name of ['Works well', 'Hangs', 'Hangs, and I leave after 100 ms', 'Forty at once']) {
      const rows = await page.locator('tbody tr').count()
      await page.getByRole('button', { name, exact: true }).click()
      await page.locator('tbody tr').nth(rows).waitFor()
    }
    const shown = await page.locator('tbody').innerText()
    for (const text of ['200', '504', 'left', '429']) expect(shown).toContain(text)
    if (process.env.SPILLWAY_SCREENSHOT !== undefined) {
      await page.screenshot({ path: process.env.SPILLWAY_SCREENSHOT })
    }
    expect(errors).toEqual([])
    await page.close()
  })
})

/** Whether any process of the group is left. */
function anyLeft(group: number): boolean {
  try {
    process.kill(-group, 0)
    return true
  } catch {
    return false
  }
}

it.each([
  ['Ctrl-C, which reaches every process', 'SIGINT', true],
  ['Ctrl-C, which reaches only the script', 'SIGINT', false],
  ['SIGTERM', 'SIGTERM', false],
] as const)('ends cleanly, with nothing left of it, by %s', async (_how, signal, everybody) => {
  // As a terminal runs it: with everything that it starts in one group.
  const child = spawn(process.execPath, ['scripts/demo.mjs', '--port', '0'], { cwd: root, detached: true })
  const { output, ended } = watch(child)
  while (!output().includes('Ctrl-C')) {
    if (child.exitCode !== null) throw new Error(output())
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  const before = output()
  process.kill(everybody ? -child.pid! : child.pid!, signal)
  expect(await ended).toBe(0)
  while (anyLeft(child.pid!)) await new Promise(resolve => setTimeout(resolve, 20))
  expect(output()).toBe(before)
})

it('says what is wrong with its arguments', async () => {
  const { ended, output } = demo('--port', 'many')
  expect(await ended).toBe(2)
  expect(output()).toContain('Expected --port to be a number from 0 to 65535, got many')
})

it('says which port is in use', async () => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  const { ended, output } = demo('--port', String(port))
  expect(await ended).toBe(1)
  expect(output()).toContain(`Port ${port} is in use; choose another with -- --port`)
  other.close()
})
