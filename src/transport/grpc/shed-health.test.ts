import { Client, credentials, Server, ServerCredentials, type ServiceDefinition } from '@grpc/grpc-js'
import { afterEach, expect, test } from 'vitest'
import { fixed, shedCall } from '../../shedding/index.ts'
import { shedInterceptor } from './shed-interceptor.ts'

const ends: (() => void)[] = []
afterEach(() => {
  for (const end of ends.splice(0)) end()
})

const asIs = (bytes: Buffer): Buffer => bytes

/** A service of one method whose messages are bytes. */
function serviceOf(path: string): ServiceDefinition {
  return {
    Check: {
      path,
      requestStream: false,
      responseStream: false,
      requestSerialize: asIs,
      requestDeserialize: asIs,
      responseSerialize: asIs,
      responseDeserialize: asIs,
    },
  }
}

test('a health check is served while the server is full, and nothing that is only called like one', async () => {
  const shedder = fixed({ limit: 1 })
  expect(shedder.offer(shedCall(), performance.now())).toBe('run')
  const paths = ['/grpc.health.v1.Health/Check', '/grpc.health.v1.HealthX/Check', '/Health/Check']
  const server = new Server({ interceptors: [shedInterceptor(shedder)] })
  for (const path of paths) {
    server.addService(serviceOf(path), {
      Check: (_call: unknown, done: (error: null, answer: Buffer) => void) => done(null, Buffer.from('up')),
    })
  }
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    )
  })
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure())
  ends.push(
    () => client.close(),
    () => server.forceShutdown(),
  )
  const answers = paths.map(
    path =>
      new Promise<string>(resolve => {
        client.makeUnaryRequest(path, asIs, asIs, Buffer.alloc(0), (error, answer) =>
          resolve(error === null ? String(answer) : error.details),
        )
      }),
  )
  expect(await Promise.all(answers)).toEqual(['up', 'Overloaded', 'Overloaded'])
  expect(shedder.snapshot()).toMatchObject({ exempt: 1, admitted: 1, inFlight: 1, refused: { limit: 2 } })
})
