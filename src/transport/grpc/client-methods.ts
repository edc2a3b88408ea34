import type { Client, ServiceDefinition } from '@grpc/grpc-js'
import { withoutCallerStack } from './caller-stack.ts'

/** A method of a generated client: how it is called and what it is. */
export interface ClientMethod {
  readonly path: string
  readonly requestStream: boolean
  readonly responseStream: boolean
  /** Whether the proto says that calling twice does what calling once does. */
  readonly idempotent: boolean
  readonly invoke: (...args: unknown[]) => any
}

interface Definition {
  readonly path: string
  readonly requestStream: boolean
  readonly responseStream: boolean
  /** Only proto-loader hands this down. */
  readonly options?: { readonly idempotency_level?: string | number }
}

/**
 * The methods of a generated client. grpc-js notes on each of them what it is, for clients of ts-proto, grpc-tools
 * and proto-loader alike; a client class that some other generator wrote out needs the definition of its service.
 */
export function methodsOf(
  generated: Client,
  service: ServiceDefinition | undefined,
): Map<string, ClientMethod> {
  const members = generated as unknown as Record<string, unknown>
  const methods = new Map<string, ClientMethod>()
  for (const name of service === undefined ? inheritedNames(generated) : Object.keys(service)) {
    const member = members[name]
    if (typeof member !== 'function') continue
    const definition = service === undefined ? member : service[name]
    if (!isDefinition(definition)) continue
    const { path, requestStream, responseStream, options } = definition
    methods.set(name, {
      path,
      requestStream,
      responseStream,
      idempotent: isIdempotent(options?.idempotency_level),
      // Looked up at each call, so that whatever wraps the client's methods later, to trace them, is not passed by.
      invoke: (...args) =>
        withoutCallerStack(() => (members[name] as (...args: unknown[]) => unknown)(...args)),
    })
  }
  return methods
}

function inheritedNames(object: object): Set<string> {
  const names = new Set<string>()
  for (
    let owner = object;
    owner !== null && owner !== Object.prototype;
    owner = Object.getPrototypeOf(owner)
  ) {
    for (const name of Object.getOwnPropertyNames(owner)) names.add(name)
  }
  return names
}

function isDefinition(value: unknown): value is Definition {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false
  const { path, requestStream, responseStream } = value as Partial<Definition>
  return typeof path === 'string' && typeof requestStream === 'boolean' && typeof responseStream === 'boolean'
}

function isIdempotent(level: string | number | undefined): boolean {
  return level === 'NO_SIDE_EFFECTS' || level === 'IDEMPOTENT' || level === 1 || level === 2
}
