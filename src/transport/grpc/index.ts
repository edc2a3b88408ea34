export type { ClientConstructor, ClientOptions, ConnectOptions } from './client.ts'
export { client } from './client.ts'
export type { ClientInterceptorOptions } from './client-interceptor.ts'
export { clientInterceptor } from './client-interceptor.ts'
export type {
  BidiMethod,
  CallOptions,
  ClientStreamMethod,
  PromiseClient,
  ServerStreamMethod,
  UnaryMethod,
} from './client-types.ts'
export { httpStatusOf, reasonOf } from './http-status.ts'
export type { IncomingCall, Method, OutgoingCall } from './method.ts'
export { incomingCall, outgoingCall } from './method.ts'
export { pressureOf } from './pressure-of.ts'
export type { ServeOptions } from './serve.ts'
export { serve } from './serve.ts'
export type { ServerInterceptorOptions } from './server-interceptor.ts'
export { serverInterceptor } from './server-interceptor.ts'
export type {
  BidiHandler,
  ClientStreamHandler,
  Implementation,
  ServerStreamHandler,
  UnaryHandler,
} from './server-types.ts'
export type { ArrivingCall, ShedInterceptorOptions } from './shed-interceptor.ts'
export { shedInterceptor } from './shed-interceptor.ts'
export { statusOf, statusOfReason } from './status.ts'
