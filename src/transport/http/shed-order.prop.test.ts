/** Connections that stay, and all that HTTP/1.1 allows on them: each request is answered once, in its order. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { dial, listen, oneByOne, until } from '../../../test/support/shed-server.ts'
import { adaptive, fixed, type Shedder } from '../../shedding/index.ts'
import { shedServer } from './shed-server.ts'

const forms = ['GET', 'HEAD', 'POST', 'chunks', 'expects'] as const
const ways = ['at once', 'later', 'busy', 'reads', 'stream'] as const

const asked = fc.record({ form: fc.constantFrom(...forms), way: fc.constantFrom(...ways) })
type Asked = Parameters<Parameters<typeof asked.map>[0]>[0]

const connection = fc.record({
  requests: fc.array(asked, { minLength: 1, maxLength: 6 }),
  /** Where what is sent is cut into packets. */
  cutEvery: fc.constantFrom(7, 60, 10_000),
})

const body = 'GET /in/the/body HTTP/1.1\r\nHost: x\r\n\r\n'

function textOf({ form, way }: Asked, id: string): string {
  const method = form === 'GET' || form === 'HEAD' ? form : 'POST'
  const head = `${method} /${way.replace(' ', '-')}/${id} HTTP/1.1\r\nHost: x\r\n`
  if (method !== 'POST') return `${head}\r\n`
  if (form === 'chunks')
    return `${head}Transfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
  const expects = form === 'expects' ? 'Expect: 100-continue\r\n' : ''
  return `${head}${expects}Content-Length: ${body.length}\r\n\r\n`
}

function serve(request: IncomingMessage, response: ServerResponse): void {
  const [, way, id] = request.url!.split('/') as [string, string, string]
  response.setHeader('x-id', id)
  const answer = (text = 'served'): void => {
    response.setHeader('content-length', text.length)
    response.end(text)
  }
  if (way === 'at-once') answer()
  else if (way === 'later') setTimeout(answer, 2)
  else if (way === 'busy') {
    const end = performance.now() + 0.5
    while (performance.now() < end);
    answer()
  } else if (way === 'reads') {
    let text = ''
    request.on('data', chunk => {
      text += chunk
    })
    request.on('end', () => answer(text))
  } else {
    response.writeHead(200, { 'content-length': 6 })
    response.write('ser')
    setTimeout(() => response.end('ved'), 1)
  }
}

interface Answer {
  readonly status: number
  readonly id: string | undefined
  readonly body: string
}

/** The answers in what a connection has received so far; those without a body are where the request was HEAD. */
function answersIn(
  text: string,
  requests: readonly Asked[],
): { readonly answers: Answer[]; readonly rest: string } {
  const answers: Answer[] = []
  let rest = text
  for (;;) {
    const end = rest.indexOf('\r\n\r\n')
    if (end < 0) return { answers, rest }
    const head = rest.slice(0, end)
    const status = Number(/^HTTP\/1\.1 (\d+)/.exec(head)![1])
    if (status === 100) {
      rest = rest.slice(end + 4)
      answers.push({ status, id: undefined, body: '' })
      continue
    }
    const which = answers.filter(answer => answer.status !== 100).length
    const length = requests[which]?.form === 'HEAD' ? 0 : Number(/content-length: (\d+)/i.exec(head)![1])
    if (rest.length < end + 4 + length) return { answers, rest }
    answers.push({ status, id: /x-id: (\S+)/i.exec(head)?.[1], body: rest.slice(end + 4, end + 4 + length) })
    rest = rest.slice(end + 4 + length)
  }
}

const shedders: Readonly<Record<string, () => Shedder>> = {
  'one that says at once': () => fixed({ limit: 2 }),
  'one that only watches': () => fixed({ limit: 1, mode: 'observe' }),
  'one with a queue for one at a time': oneByOne,
  'one that expires soon': () => adaptive({ burstWaitMs: 2, standingWaitMs: 2, minLimit: 1, maxQueued: 3 }),
}

test.each(Object.entries(shedders))(
  '%s',
  async (_name, make) => {
    await fc.assert(
      fc.asyncProperty(fc.array(connection, { minLength: 1, maxLength: 4 }), async connections => {
        const shedder = make()
        const server = shedServer(createServer(serve), shedder)
        const { port } = await listen(server)
        await Promise.all(
          connections.map(async ({ requests, cutEvery }, c) => {
            const { socket, received } = dial(port)
            const finals = (): Answer[] =>
              answersIn(received(), requests).answers.filter(({ status }) => status !== 100)
            const send = async (text: string): Promise<void> => {
              for (let from = 0; from < text.length; from += cutEvery) {
                socket.write(text.slice(from, from + cutEvery))
                await new Promise(resolve => setImmediate(resolve))
              }
            }
            let asks = 0
            let sent = 0
            for (const [i, request] of requests.entries()) {
              sent++
              await send(textOf(request, `${c}-${i}`))
              if (request.form === 'POST') await send(body)
              if (request.form !== 'expects') continue
              // The body follows when it is asked for. Whoever is refused before that is told that the connection ends.
              const continues = (): number =>
                answersIn(received(), requests).answers.filter(({ status }) => status === 100).length
              await until(() => continues() > asks || finals().length > i)
              if (continues() === asks) break
              asks++
              await send(body)
            }
            await until(() => finals().length === sent)
            for (const [i, { status, id, body: text }] of finals().entries()) {
              const { form, way } = requests[i]!
              if (status === 503) expect([id, text]).toEqual([undefined, ''])
              else {
                expect([status, id]).toEqual([200, `${c}-${i}`])
                const read = form === 'GET' ? '' : body
                expect(text).toBe(form === 'HEAD' ? '' : way === 'reads' ? read : 'served')
              }
            }
            expect(answersIn(received(), requests).rest).toBe('')
          }),
        )
        await until(() => shedder.snapshot().inFlight === 0)
        expect(shedder.snapshot()).toMatchObject({ inFlight: 0 })
        server.close()
      }),
      { numRuns: 12 },
    )
  },
  30_000,
)
