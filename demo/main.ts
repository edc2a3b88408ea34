/** `npm run demo`: the gateway, the catalog behind it, and a page to try them on. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { gateway } from './gateway.ts'

const port = portOption()

console.log('starting the catalog (gRPC) …')
let cancelledCalls = 0
const service = fork(fileURLToPath(new URL('./catalog-service.ts', import.meta.url)))
service.on('message', (message: { readonly cancelled?: true }) => {
  if (message.cancelled) cancelledCalls++
})
const [{ port: servicePort }] = (await once(service, 'message')) as [{ port: number }]

console.log('starting the gateway (express) …')
const server = createServer(gateway(`127.0.0.1:${servicePort}`, () => cancelledCalls))
server.on('error', (error: NodeJS.ErrnoException) => {
  console.error(
    error.code === 'EADDRINUSE' ? `Port ${port} is in use; choose another with -- --port` : error.message,
  )
  stop(1)
})
server.listen(port, '127.0.0.1', () => {
  const address = server.address()
  const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : port}`
  console.log(`
  the page      ${url}

  an answer     curl -i '${url}/products/1'
  a hang        curl -i '${url}/products/1?mood=hangs'     a problem document within a second
  a failure     curl -i '${url}/products/1?mood=fails'     three attempts, then never again
  the state     curl -s '${url}/state'

  Ctrl-C ends it.`)
})
service.on('exit', code => {
  console.error(`The catalog ended with code ${code}.`)
  stop(1)
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop(0))

function stop(code: number): void {
  service.removeAllListeners('exit')
  service.disconnect()
  server.close()
  server.closeAllConnections()
  process.exit(code)
}

function portOption(): number {
  try {
    const { values } = parseArgs({ options: { port: { type: 'string', default: '3000' } } })
    if (!/^\d{1,5}$/.test(values.port) || Number(values.port) > 65_535) {
      throw new RangeError(`Expected --port to be a number from 0 to 65535, got ${values.port}`)
    }
    return Number(values.port)
  } catch (error) {
    console.error((error as Error).message)
    process.exit(2)
  }
}
