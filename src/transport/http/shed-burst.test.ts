/** A server that is a process of its own, and far more at once than it can serve in time. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { root } from '../../../test/support/files.ts'

const workMs = 5
const program = `
  const { createServer } = await import('node:http')
  const { adaptive } = await import('spillway/shedding')
  const { shedServer } = await import('spillway/http')
  const shedder = adaptive()
  const server = shedServer(createServer((request, response) => {
    if (request.url === '/metrics') {
      response.end(JSON.stringify(shedder.snapshot()))
      return
    }
    const start = process.cpuUsage()
    const spent = () => { const { user, system } = process.cpuUsage(start); return user + system }
    while (spent() < ${workMs * 1_000});
    response.end('served')
  }), shedder)
  server.listen(0, '127.0.0.1', () => console.log(process.version + ' ' + server.address().port))`

let child: ChildProcess
let version: string
let port: number
let said = ''

beforeAll(async () => {
  child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  child.stderr!.on('data', chunk => {
    said += chunk
  })
  const lines = createInterface(child.stdout!)
  const [line] = (await Promise.race([once(lines, 'line'), once(child, 'exit').then(() => [said])])) as [
    string,
  ]
  lines.on('line', more => {
    said += more
  })
  version = line.split(' ')[0]!
  port = Number(line.split(' ')[1])
})
afterAll(() => {
  child.kill()
})

interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

function get(path: string, agent: Agent): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ port, path, agent }, response => {
      let body = ''
      response.on('data', chunk => {
        body += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, body }))
    })
    sent.on('error', reject)
    sent.end()
  })
}

async function snapshot(agent: Agent): Promise<Record<string, any>> {
  return JSON.parse((await get('/metrics', agent)).body)
}

describe.each([
  ['connections that are kept', true],
  ['a connection for each request', false],
] as const)('%s', (_name, keepAlive) => {
  test('everybody is answered at once or soon, most with a refusal, and nothing is left of it', async () => {
    expect(version).toBe(process.version)
    const agent = new Agent({ keepAlive, maxSockets: 500 })
    const before = await snapshot(agent)
    // Two and a half seconds of work.
    const answers = await Promise.all(Array.from({ length: 500 }, () => get('/work', agent)))
    const served = answers.filter(({ status }) => status === 200)
    const refused = answers.filter(({ status }) => status === 503)
    expect(served.length + refused.length).toBe(500)
    expect(served.length).toBeGreaterThan(3)
    expect(refused.length).toBeGreaterThan(100)
    for (const { headers } of refused) {
      expect(headers['x-rejected']).toBe('shed')
      expect(headers['retry-after']).toMatch(/^[12]$/)
      if (keepAlive) expect(headers.connection).toBe('keep-alive')
    }
    const after = await snapshot(agent)
    expect(after).toMatchObject({ inFlight: 0, queued: 0, mode: 'enforce' })
    expect(after.admitted - before.admitted).toBe(served.length)
    // And once it is over nobody is refused any more.
    await new Promise(resolve => setTimeout(resolve, 1_100))
    for (let i = 0; i < 10; i++) expect(await get('/work', agent)).toMatchObject({ status: 200 })
    agent.destroy()
    expect(said).toBe('')
  })
})
