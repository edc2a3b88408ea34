import { type Client, makeClientConstructor, type ServiceDefinition } from '@grpc/grpc-js'

/** One unary method that answers with its request. The messages are bytes, so that only the call itself is measured. */
export const echoService = {
  echo: {
    path: '/bench.Echo/Echo',
    requestStream: false,
    responseStream: false,
    requestSerialize: (bytes: Buffer) => bytes,
    requestDeserialize: (bytes: Buffer) => bytes,
    responseSerialize: (bytes: Buffer) => bytes,
    responseDeserialize: (bytes: Buffer) => bytes,
  },
} as const satisfies ServiceDefinition

/** The client as a generator would have typed it. */
export interface EchoClient extends Client {
  echo(
    request: Buffer,
    options: { deadline: Date },
    callback: (error: Error | null, response?: Buffer) => void,
  ): ClientUnaryCall
}

export const EchoClient = makeClientConstructor(echoService, 'Echo') as unknown as new (
  ...args: ConstructorParameters<typeof Client>
) => EchoClient

export const message: Buffer = Buffer.from('twenty bytes or so..')
