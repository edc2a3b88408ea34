/**
 * An express gateway with 1,000 ms, a gRPC service with 400 ms of its own, and a gRPC service that never answers:
 * three processes. How late things happen depends on the machine, so what must be quick is tried several times and
 * the best try counts; what must never happen is checked in every try.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { credentials } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { root } from '../support/files.ts'
import { CatalogClient } from './catalog.ts'
import type { FromProcess, ToProcess } from './fixtures/messages.ts'

const HOUR_MS = 3_600_000
const TRIES = 40

const now = (): number => Number(process.hrtime.bigint()) / 1e6
const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

type Begun = Extract<FromProcess, { what: 'begun' }>
type Ended = Extract<FromProcess, { what: 'ended' }>

/** One of the processes, and what it has told so far. */
class Running {
  port = 0
  private readonly child: ChildProcess
  private readonly told: FromProcess[] = []
  private waiting: (() => void)[] = []

  constructor(role: string, address = '') {
    this.child = fork(fileURLToPath(new URL('./fixtures/process.ts', import.meta.url)), [role, address], {
      execArgv: ['--import', 'tsx'],
      env: { ...process.env, TSX_TSCONFIG_PATH: `${root}/tsconfig.json`, NODE_ENV: 'production' },
    })
    this.child.on('message', (message: FromProcess) => {
      this.told.push(message)
      for (const wake of this.waiting.splice(0)) wake()
    })
  }

  async listening(): Promise<this> {
    this.port = (await this.find(message => message.what === 'listening')).port
    return this
  }

  begun(id: number): Promise<Begun> {
    return this.find((message): message is Begun => message.what === 'begun' && message.id === id)
  }

  ended(id: number): Promise<Ended> {
    return this.find((message): message is Ended => message.what === 'ended' && message.id === id)
  }

  /** Sets the wall clock of the process wrong. */
  jump(hours: number): void {
    this.child.send({ wallClockOffMs: hours * HOUR_MS } satisfies ToProcess)
  }

  kill(): void {
    this.child.kill('SIGKILL')
  }

  private async find<M extends FromProcess>(is: (message: FromProcess) => message is M): Promise<M> {
    for (;;) {
      const found = this.told.find(is)
      if (found !== undefined) return found
      await new Promise<void>(resolve => {
        this.waiting.push(resolve)
      })
    }
  }
}

let leaf: Running
let middle: Running
let gateway: Running
let stockLeaf: Running
/** With the stock service behind it. */
let stockMiddle: Running
beforeAll(async () => {
  const leaves = [new Running('leaf').listening(), new Running('stockLeaf').listening()] as const
  leaf = await leaves[0]
  stockLeaf = await leaves[1]
  const middles = [leaf, stockLeaf].map(({ port }) => new Running('middle', `127.0.0.1:${port}`).listening())
  middle = await middles[0]!
  stockMiddle = await middles[1]!
  gateway = await new Running('gateway', `127.0.0.1:${middle.port}`).listening()
})
afterAll(() => {
  for (const running of [leaf, middle, gateway, stockLeaf, stockMiddle]) running?.kill()
})

let calls = 0
/** Asks the gateway. Every call has an id of its own. */
function ask(
  query = '',
  headers: Record<string, string> = {},
): { id: number; answer: Promise<{ status: number; at: number }>; hangUp: () => void } {
  const id = ++calls
  const controller = new AbortController()
  const answer = fetch(`http://127.0.0.1:${gateway.port}/items/${id}${query}`, {
    headers,
    signal: controller.signal,
  }).then(
    async response => {
      await response.text()
      return { status: response.status, at: now() }
    },
    () => ({ status: 0, at: now() }),
  )
  return { id, answer, hangUp: () => controller.abort() }
}

/** Repeats `attempt` until how late it was is at most `limitMs`, and returns the best. */
async function best(limitMs: number, attempt: () => Promise<number>): Promise<number> {
  let least = Infinity
  for (let i = 0; i < TRIES && least > limitMs; i++) least = Math.min(least, await attempt())
  return least
}

/** How late the last of these was, measured from the deadline that the service in the middle set. */
const lateness = (deadline: number, ...times: readonly number[]): number => Math.max(...times) - deadline

describe('a call that hangs two services away', () => {
  const hang = async (): Promise<number> => {
    const { id, answer } = ask()
    const begun = await middle.begun(id)
    expect(begun.remainingMs).toBeLessThanOrEqual(400)
    expect((await leaf.begun(id)).remainingMs).toBeLessThanOrEqual(begun.remainingMs)
    const { status, at } = await answer
    expect(status).toBeGreaterThanOrEqual(500)
    const [inLeaf, inMiddle] = await Promise.all([leaf.ended(id), middle.ended(id)])
    expect(inMiddle.ending).toBe('timeout')
    const deadline = begun.at + begun.remainingMs
    expect(Math.min(inLeaf.at, inMiddle.at, at)).toBeGreaterThan(deadline - 5)
    return lateness(deadline, inLeaf.at, inMiddle.at, at)
  }

  test('is given up everywhere within 25 ms of the deadline', async () => {
    await hang()
    expect(await best(25, hang)).toBeLessThanOrEqual(25)
  })

  test('whatever the wall clocks do meanwhile', async () => {
    const hangOnBrokenClocks = async (): Promise<number> => {
      const { id, answer } = ask()
      await leaf.begun(id)
      gateway.jump(-7)
      middle.jump(5)
      leaf.jump(-3)
      await sleep(100)
      gateway.jump(11)
      middle.jump(-13)
      leaf.jump(2)
      const begun = await middle.begun(id)
      const { at } = await answer
      const [inLeaf, inMiddle] = await Promise.all([leaf.ended(id), middle.ended(id)])
      const deadline = begun.at + begun.remainingMs
      expect(Math.min(inLeaf.at, inMiddle.at, at)).toBeGreaterThan(deadline - 5)
      return lateness(deadline, inLeaf.at, inMiddle.at, at)
    }
    expect(await best(25, hangOnBrokenClocks)).toBeLessThanOrEqual(25)
    // The clocks are hours apart by now. A call that begins like this is bounded just the same.
    expect(await best(25, hang)).toBeLessThanOrEqual(25)
    for (const running of [gateway, middle, leaf]) running.jump(0)
  })
})

test('time that the gateway has spent is gone for the last service', async () => {
  const { id, answer } = ask('?spendMs=200', { 'x-envoy-expected-rq-timeout-ms': '450' })
  const inGateway = await gateway.begun(id)
  expect(inGateway.remainingMs).toBeLessThanOrEqual(450)
  expect((await middle.begun(id)).remainingMs).toBeLessThanOrEqual(250)
  expect((await leaf.begun(id)).remainingMs).toBeLessThanOrEqual(250)
  expect((await answer).status).toBe(504)
})

test('when the HTTP client disconnects, all three stop', async () => {
  const disconnect = async (): Promise<number> => {
    const { id, answer, hangUp } = ask()
    const { at, remainingMs } = await leaf.begun(id)
    const gone = now()
    hangUp()
    const ends = await Promise.all([gateway, middle, leaf].map(running => running.ended(id)))
    // Not because the time was up.
    if (Math.max(...ends.map(ended => ended.at)) < at + remainingMs - 50) {
      expect(ends.map(({ ending }) => ending)).toEqual(['cancelled', 'cancelled', 'cancelled'])
    }
    await answer
    return lateness(gone, ...ends.map(ended => ended.at))
  }
  expect(await best(50, disconnect)).toBeLessThanOrEqual(50)
})

describe('a service in the middle of two that know nothing of the kit', () => {
  let stock: CatalogClient
  beforeAll(() => {
    stock = new CatalogClient(`127.0.0.1:${stockMiddle.port}`, credentials.createInsecure())
  })
  afterAll(() => stock.close())

  const call = (
    timeoutMs: number,
    id = ++calls,
  ): { id: number; answer: Promise<number | undefined>; cancel: () => void } => {
    let cancel = (): void => {}
    const answer = new Promise<number | undefined>(resolve => {
      const running = stock.getItem({ id }, { deadline: Date.now() + timeoutMs } as never, (error: any) =>
        resolve(error?.code),
      )
      cancel = () => running.cancel()
    })
    return { id, answer, cancel }
  }

  test('passes the deadline of the one on to the other', async () => {
    const hang = async (): Promise<number> => {
      const { id, answer } = call(250)
      const begun = await stockMiddle.begun(id)
      expect(begun.remainingMs).toBeLessThanOrEqual(250)
      expect((await stockLeaf.begun(id)).remainingMs).toBeLessThanOrEqual(begun.remainingMs)
      expect(await answer).toBe(4)
      const [inMiddle, inLeaf] = await Promise.all([stockMiddle.ended(id), stockLeaf.ended(id)])
      return lateness(begun.at + begun.remainingMs, inMiddle.at, inLeaf.at)
    }
    await hang()
    expect(await best(25, hang)).toBeLessThanOrEqual(25)
  })

  test('tells the other what is left when it has spent some of the time itself', async () => {
    const { id, answer } = call(300, -++calls)
    const begun = await stockMiddle.begun(id)
    const inLeaf = await stockLeaf.begun(id)
    expect(inLeaf.at - begun.at).toBeGreaterThan(145)
    expect(inLeaf.remainingMs).toBeLessThanOrEqual(begun.remainingMs - 145)
    expect(await answer).toBe(4)
  })

  test('has its own deadline, which the other is told', async () => {
    const { id, answer } = call(60_000)
    expect((await stockLeaf.begun(id)).remainingMs).toBeLessThanOrEqual(400)
    expect(await answer).toBe(4)
    await stockLeaf.ended(id)
  })

  test('stops, and stops the other, when the one hangs up', async () => {
    const cancel = async (): Promise<number> => {
      const { id, answer, cancel } = call(60_000)
      await stockLeaf.begun(id)
      const gone = now()
      cancel()
      expect(await answer).toBe(1)
      const ends = await Promise.all([stockMiddle.ended(id), stockLeaf.ended(id)])
      return lateness(gone, ...ends.map(ended => ended.at))
    }
    expect(await best(25, cancel)).toBeLessThanOrEqual(25)
  })

  test('holds when the wall clocks are wrong', async () => {
    const hang = async (): Promise<number> => {
      const { id, answer } = call(250)
      const begun = await stockMiddle.begun(id)
      await stockLeaf.begun(id)
      stockMiddle.jump(9)
      stockLeaf.jump(-9)
      await answer
      const [inMiddle, inLeaf] = await Promise.all([stockMiddle.ended(id), stockLeaf.ended(id)])
      stockMiddle.jump(0)
      stockLeaf.jump(0)
      return lateness(begun.at + begun.remainingMs, inMiddle.at, inLeaf.at)
    }
    expect(await best(25, hang)).toBeLessThanOrEqual(25)
  })
})
