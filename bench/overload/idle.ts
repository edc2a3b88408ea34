/**
 * What a request costs more behind `shedServer` when nothing is going on: `idle.ts <rounds> <seconds>`. One request at
 * a time is handed to two servers in turn, the bare one and the protected one, without any network in between; and
 * over the network the turns of the event loop are counted.
 */
import { createServer, IncomingMessage, type Server, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { performance } from 'node:perf_hooks'
import { Duplex } from 'node:stream'
import { shedServer } from 'spillway/http'
import { adaptive } from 'spillway/shedding'
import { answer } from '../lib/child.ts'
import { Connection, requestBytes } from './connection.ts'
import { answerOk } from './handlers.ts'

/** Blocks so short that a machine which changes its speed does so between two pairs of them, and so many of them. */
const rounds = 10 * Number(process.argv[2])
const blockMs = Number(process.argv[3]) * 125
/** Blocks that took longer than this times the shortest met a slow core, and do not count. */
const SLOWER = 1.3
const bare = createServer((_request, response) => answerOk(response))
const ours = shedServer(
  createServer((_request, response) => answerOk(response)),
  adaptive(),
)

const rawHeaders = [
  'host',
  '127.0.0.1',
  'user-agent',
  'spillway-bench',
  'accept',
  '*/*',
  'accept-encoding',
  'gzip',
]

/** Hands over a request that has been read, and throws the answer away. */
function hand(server: Server, socket: Socket): void {
  const request = new IncomingMessage(socket)
  request.method = 'GET'
  request.url = '/'
  request.rawHeaders = rawHeaders as string[]
  const response = new ServerResponse(request)
  response.assignSocket(socket)
  server.emit('request', request, response)
  response.emit('close')
  response.detachSocket(socket)
}

/** Microseconds for one request. Between every few of them the loop waits, or it would not be idle. */
async function block(server: Server): Promise<number> {
  const socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() }) as Socket
  let spent = 0
  let count = 0
  for (const until = performance.now() + blockMs; performance.now() < until; ) {
    const from = performance.now()
    for (let i = 0; i < 20; i++) hand(server, socket)
    spent += performance.now() - from
    count += 20
    await new Promise(resolve => setTimeout(resolve, 1))
  }
  return (1_000 * spent) / count
}

/** Turns of the loop for each request that comes over the network, one at a time with a millisecond between. */
async function turns(server: Server): Promise<number> {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const bytes = requestBytes({ path: '/' })
  let answered: () => void = () => undefined
  const owner = { answered: () => answered(), closed: () => undefined }
  const connection = new Connection((server.address() as AddressInfo).port, owner)
  const ask = (): Promise<void> =>
    new Promise(resolve => {
      answered = () => setTimeout(resolve, 1)
      connection.send(bytes)
    })
  for (let i = 0; i < 20; i++) await ask()
  const from = performance.nodeTiming.uvMetricsInfo.loopCount
  for (let i = 0; i < 100; i++) await ask()
  const turned = performance.nodeTiming.uvMetricsInfo.loopCount - from
  connection.destroy()
  server.close()
  return turned / 100
}

for (let i = 0; i < 3; i++) {
  await block(bare)
  await block(ours)
}
const pairs: { readonly both: number; readonly more: number }[] = []
for (let round = 0; round < rounds; round++) {
  const [first, second] = round % 2 === 0 ? [bare, ours] : [ours, bare]
  const [one, other] = [await block(first), await block(second)]
  pairs.push({ both: one + other, more: first === bare ? other - one : one - other })
}
const best = Math.min(...pairs.map(({ both }) => both))
const micros = pairs.filter(({ both }) => both < SLOWER * best).map(({ more }) => more)
answer({ micros, turns: (await turns(ours)) - (await turns(bare)) })
