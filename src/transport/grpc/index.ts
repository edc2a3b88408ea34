export type { ClientConstructor, ClientOptions, ConnectOptions } from './client.ts'
export { client } from './client.ts'
export type {
  BidiMethod,
  CallOptions,
  ClientStreamMethod,
  PromiseClient,
  ServerStreamMethod,
  UnaryMethod,
} from './client-types.ts'
export type { IncomingCall, Method, OutgoingCall } from './method.ts'
export { incomingCall, outgoingCall } from './method.ts'
export type { ServeOptions } from './serve.ts'
export { serve } from './serve.ts'
export type {
  BidiHandler,
  ClientStreamHandler,
  Implementation,
  ServerStreamHandler,
  UnaryHandler,
} from './server-types.ts'
export { statusOf, statusOfReason } from './status.ts'
