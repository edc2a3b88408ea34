/** What the clients send: they live in a process of their own, on the core beside the server's. */
import { type Child, start } from '../lib/child.ts'
import { compiled } from '../lib/compiled.ts'
import { type HandlerName, handlers } from './handlers.ts'
import type { ClosedLoad, ClosedOutcome, OpenLoad, OpenOutcome, RequestKind } from './load.ts'
import { pin } from './machine.ts'

let clients: Child | undefined

export async function startClients(): Promise<void> {
  clients = start(compiled(new URL('./clients.ts', import.meta.url)))
  await clients.next()
  pin(clients.process.pid!, 1)
}

export function stopClients(): Promise<void> {
  return clients!.stop()
}

/** What the clients of a handler send. */
export function kindsOf(name: HandlerName): RequestKind[] {
  const { paths, bodyBytes } = handlers[name]
  return Object.entries(paths).map(([path, weight]) => ({ path, weight, bodyBytes, label: path }))
}

export async function closedLoad(load: Omit<ClosedLoad, 'mode'>): Promise<ClosedOutcome> {
  const outcome = clients!.next<ClosedOutcome>()
  clients!.send({ mode: 'closed', ...load })
  return outcome
}

export async function openLoad(load: Omit<OpenLoad, 'mode'>): Promise<OpenOutcome> {
  const outcome = clients!.next<OpenOutcome>()
  clients!.send({ mode: 'open', ...load })
  return outcome
}
