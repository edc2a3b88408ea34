/** A chain of four services, each a process; the first is called here, and the last always fails. */
import { credentials } from '@grpc/grpc-js'
import { type Child, start } from '../lib/child.ts'
import { HopClient, type Manner, message } from './hop.ts'

const DEPTH = 4

export interface Services {
  /** Makes calls to the first service, `perSecond` of them where that is given, and else so many at a time. */
  load(calls: number, pace: { readonly perSecond: number } | { readonly atOnce: number }): Promise<Reached>
  stop(): Promise<void>
}

/** How many calls have reached each service, the first of the chain first, for each call that was made. */
export type Reached = readonly number[]

export async function startServices(manner: Manner): Promise<Services> {
  const children = Array.from({ length: DEPTH }, () =>
    start(new URL('./service.ts', import.meta.url), [manner]),
  )
  const ports = await Promise.all(children.map(async child => (await child.next<{ port: number }>()).port))
  await Promise.all(children.map((child, i) => ask(child, { behind: ports[i + 1] })))
  const first = new HopClient(`127.0.0.1:${ports[0]}`, credentials.createInsecure())
  const call = (): Promise<void> => new Promise(resolve => first.ask(message, () => resolve()))

  const counts = (): Promise<number[]> =>
    Promise.all(children.map(async child => (await ask<{ calls: number }>(child, 'count')).calls))

  return {
    async load(calls, pace) {
      await counts()
      await ('perSecond' in pace
        ? openLoop(call, calls, pace.perSecond)
        : closedLoop(call, calls, pace.atOnce))
      const reached = await counts()
      return reached.map(count => count / calls)
    },
    async stop() {
      first.close()
      await Promise.all(children.map(child => child.stop()))
    },
  }
}

function ask<T>(child: Child, message: object | string): Promise<T> {
  const reply = child.next<T>()
  child.send(message)
  return reply
}

async function closedLoop(call: () => Promise<void>, calls: number, atOnce: number): Promise<void> {
  let left = calls
  const worker = async (): Promise<void> => {
    while (left-- > 0) await call()
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}

/** Calls come when they come, whether those before them have been answered or not. */
async function openLoop(call: () => Promise<void>, calls: number, perSecond: number): Promise<void> {
  const startedAt = performance.now()
  const made: Promise<void>[] = []
  while (made.length < calls) {
    const due = Math.min(calls, Math.ceil(((performance.now() - startedAt) / 1_000) * perSecond))
    while (made.length < due) made.push(call())
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  await Promise.all(made)
}
