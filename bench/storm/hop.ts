import {
  type Client,
  type ClientUnaryCall,
  makeClientConstructor,
  type ServiceDefinition,
  type UntypedHandleCall,
} from '@grpc/grpc-js'
import { unary } from '../lib/unary.ts'

/** One unary method, the same at every service of the chain: it answers what the service behind it answers. */
export const hopService: ServiceDefinition<{ ask: UntypedHandleCall }> = {
  ask: unary('/bench.Hop/Ask'),
}

/** The client as a generator would have typed it. */
export interface HopClient extends Client {
  ask(request: Buffer, callback: (error: Error | null, response?: Buffer) => void): ClientUnaryCall
}

export const HopClient = makeClientConstructor(hopService, 'Hop') as unknown as new (
  ...args: ConstructorParameters<typeof Client>
) => HopClient

export const message: Buffer = Buffer.from('ask')

/** How a service of the chain calls the one behind it: three attempts in every case. */
export type Manner =
  /** p-retry, as it is used everywhere: each service tries again whatever fails. */
  | 'naive'
  /** `retry` without a budget, so that only the mark of who gave up holds the others back. */
  | 'marked'
  /** `retry` as it comes. */
  | 'budgeted'

export const ATTEMPTS = 3
/** Short, so that the naive chain comes to an end: nothing here depends on how long anybody waits. */
export const BACKOFF_MS = 5
