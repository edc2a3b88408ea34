/** A server on a port of its own, and a client that sees the bytes. */
import { once } from 'node:events'
import type { RequestListener, Server } from 'node:http'
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'

export interface Running {
  readonly port: number
  readonly url: string
  stop(): Promise<void>
}

export async function running(server: Server | RequestListener): Promise<Running> {
  const own = typeof server === 'function' ? createServer(server) : server
  own.listen(0, '127.0.0.1')
  await once(own, 'listening')
  const { port } = own.address() as AddressInfo
  return {
    port,
    url: `http://127.0.0.1:${port}/`,
    async stop() {
      own.close()
      own.closeAllConnections()
      if (own.listening) await once(own, 'close')
    },
  }
}

export interface RawAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** One connection, on which requests are text. */
export class RawConnection {
  static async open(port: number): Promise<RawConnection> {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    return new RawConnection(socket)
  }

  readonly socket: Socket
  /** Resolves when the other side, or this one, has closed the connection. */
  readonly closed: Promise<void>
  open = true
  private text = ''
  private wake: (() => void) | undefined

  constructor(socket: Socket) {
    this.socket = socket
    this.closed = new Promise(resolve => {
      socket.on('close', () => {
        this.open = false
        this.wake?.()
        resolve()
      })
    })
    socket.on('error', () => {})
    socket.on('data', chunk => {
      this.text += chunk.toString('latin1')
      this.wake?.()
    })
  }

  /** Sends a request without a body, or the head of one with. */
  ask(method: string, path = '/', fields: Readonly<Record<string, string>> = {}): this {
    const lines = Object.entries({ host: 'test', ...fields }).map(([name, value]) => `${name}: ${value}\r\n`)
    return this.write(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`)
  }

  write(text: string): this {
    this.socket.write(text, 'latin1')
    return this
  }

  /** The next answer in full. */
  async answer(toHead = false): Promise<RawAnswer> {
    const head = await this.until(/^[\s\S]*?\r\n\r\n/)
    const [first = '', ...lines] = head.trimEnd().split('\r\n')
    const headers = Object.fromEntries(
      lines.map(line => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)]),
    )
    const length = Number(headers['content-length'] ?? 0)
    const chunked = headers['transfer-encoding'] === 'chunked'
    const body = toHead
      ? ''
      : await this.until(chunked ? /^[\s\S]*?0\r\n\r\n/ : new RegExp(`^[\\s\\S]{${length}}`))
    return { status: Number(first.split(' ')[1]), headers, body }
  }

  /** Takes what has come so far as soon as it matches. */
  async until(pattern: RegExp): Promise<string> {
    for (;;) {
      const [taken] = pattern.exec(this.text) ?? []
      if (taken !== undefined) {
        this.text = this.text.slice(taken.length)
        return taken
      }
      if (!this.open) throw new Error(`The connection closed after ${JSON.stringify(this.text)}`)
      await new Promise<void>(resolve => {
        this.wake = resolve
      })
    }
  }

  close(): void {
    this.socket.destroy()
  }
}
