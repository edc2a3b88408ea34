import {
  type Client,
  type ClientUnaryCall,
  makeClientConstructor,
  type ServiceDefinition,
  type UntypedHandleCall,
} from '@grpc/grpc-js'

const bytes = (message: Buffer): Buffer => message

/** One unary method that answers with its request. The messages are bytes, so that only the call itself is measured. */
export const echoService: ServiceDefinition<{ echo: UntypedHandleCall }> = {
  echo: {
    path: '/bench.Echo/Echo',
    requestStream: false,
    responseStream: false,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  },
}

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
