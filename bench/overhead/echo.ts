import {
  type Client,
  type ClientUnaryCall,
  makeClientConstructor,
  type ServiceDefinition,
  type UntypedHandleCall,
} from '@grpc/grpc-js'
import { unary } from '../lib/unary.ts'

/** One unary method that answers with its request. */
export const echoService: ServiceDefinition<{ echo: UntypedHandleCall }> = {
  echo: unary('/bench.Echo/Echo'),
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
