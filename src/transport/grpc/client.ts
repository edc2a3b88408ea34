import type {
  ChannelCredentials,
  ClientOptions as ChannelSettings,
  Client,
  ServiceDefinition,
} from '@grpc/grpc-js'
import { knownOptions, nameOption } from '../../core/options.ts'
import { type Around, aroundMethod, knownMethods } from './around.ts'
import { caller } from './caller.ts'
import { methodsOf } from './client-methods.ts'
import type { MethodNames, PromiseClient } from './client-types.ts'

export interface ClientOptions<C = any> {
  /** What stands around every call: `chain(...)`. @default nothing */
  readonly use?: Around
  /** What stands around the calls of single methods, inside `use`. @default nothing */
  readonly methods?: { readonly [K in MethodNames<C>]?: Around }
  /**
   * The methods that may be called twice for once: their calls have `idempotent` set in their context.
   * @default those whose proto has an `idempotency_level`, where the generator passes it on
   */
  readonly idempotent?: readonly MethodNames<C>[]
  /** What the methods are, for a client class that does not say. @default read from the client */
  readonly service?: ServiceDefinition
}

export interface ConnectOptions<C = any> extends ClientOptions<C> {
  /** Where the service is: `localhost:50051`, `dns:///catalog:50051`. */
  readonly address: string
  readonly credentials: ChannelCredentials
  /** Handed to grpc-js. @default none */
  readonly channelOptions?: ChannelSettings
}

/** A constructor of generated clients. */
export type ClientConstructor<C> = new (
  address: string,
  credentials: ChannelCredentials,
  options?: ChannelSettings,
) => C

/** A client whose methods may have any name. */
type Untyped = { readonly [name: string]: unknown }

const clientOptions = ['use', 'methods', 'idempotent', 'service']
const connectOptions = [...clientOptions, 'address', 'credentials', 'channelOptions']

/**
 * A typed promise client over a generated grpc-js client. Every call has the deadline of its context, is cancelled
 * when its context ends, and passes on criticality, tenant and the time that is left.
 */
export function client<C extends Client>(generated: C, options?: ClientOptions<C>): PromiseClient<C>
/** As above, over a constructor of generated clients, with a channel of its own; `close()` closes it. */
export function client<C extends Client>(
  create: ClientConstructor<C>,
  options: ConnectOptions<C>,
): PromiseClient<C> & { close(): void }
export function client(
  source: Client | ClientConstructor<Client>,
  options: ClientOptions<Untyped> | ConnectOptions<Untyped> = {},
): object {
  const connects = typeof source === 'function'
  knownOptions('client', options, connects ? connectOptions : clientOptions)
  const generated = connects ? connect(source, options as ConnectOptions<Untyped>) : source
  const methods = methodsOf(generated, options.service)
  if (methods.size === 0) {
    throw new TypeError(
      'Expected a generated client whose methods say what they are, got one that does not: pass its `service`',
    )
  }
  const { use, methods: around = {}, idempotent = [] } = options
  knownMethods('The client', [...Object.keys(around), ...idempotent], methods)
  // proto-loader gives every method two names.
  const twice = new Set(idempotent.map(name => methods.get(name)!.path))
  const promised: Record<string, unknown> = connects ? { close: () => generated.close() } : {}
  for (const [name, method] of methods) {
    const known = options.idempotent === undefined ? method.idempotent : twice.has(method.path)
    promised[name] = caller({ ...method, idempotent: known }, aroundMethod(use, around, name))
  }
  return promised
}

function connect(Create: ClientConstructor<Client>, options: ConnectOptions<Untyped>): Client {
  const { address, credentials, channelOptions } = options
  nameOption('address', address)
  if (credentials === undefined) {
    throw new TypeError('Expected `credentials` to be channel credentials, got undefined')
  }
  return new Create(address, credentials, channelOptions)
}
