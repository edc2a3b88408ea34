import type { MethodDefinition } from '@grpc/grpc-js'

const bytes = (message: Buffer): Buffer => message

/** A unary method whose messages are bytes, so that only the call itself is measured. */
export function unary(path: string): MethodDefinition<Buffer, Buffer> {
  return {
    path,
    requestStream: false,
    responseStream: false,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  }
}
