/**
 * A client of HTTP/1.1 on one connection, with one request at a time: as little as will do, so that the clients cost
 * far less than the server under test.
 */
import { connect, type Socket } from 'node:net'

export interface ConnectionOwner {
  /** There is a connection. */
  opened?(): void
  /** An answer has come, and the connection is free unless it is closing. */
  answered(connection: Connection, status: number): void
  /** The connection has closed or broken, by whomever. */
  closed(connection: Connection): void
}

const contentLength = /\r\ncontent-length: *(\d+)/i
const chunked = /\r\ntransfer-encoding: *chunked/i
const closing = /\r\nconnection: *close/i

/** One for all: what has been read is looked at before anything else is. */
const buffer = Buffer.allocUnsafe(65_536)

export class Connection {
  /** Whether it takes another request after this one. */
  open: boolean
  private readonly owner: ConnectionOwner
  private readonly socket: Socket
  private text: string

  constructor(port: number, owner: ConnectionOwner) {
    this.open = true
    this.owner = owner
    this.text = ''
    this.socket = connect({
      port,
      host: '127.0.0.1',
      noDelay: true,
      onread: {
        buffer,
        callback: size => {
          this.read(buffer.toString('latin1', 0, size))
          return true
        },
      },
    })
    this.socket.once('connect', () => owner.opened?.())
    // What follows an error is a close.
    this.socket.on('error', () => {})
    this.socket.on('close', () => {
      this.open = false
      owner.closed(this)
    })
  }

  send(request: Buffer): void {
    this.socket.write(request)
  }

  destroy(): void {
    this.open = false
    this.socket.destroy()
  }

  private read(chunk: string): void {
    const text = this.text === '' ? chunk : this.text + chunk
    const headEnd = text.indexOf('\r\n\r\n')
    if (headEnd < 0 || !isWhole(text, headEnd)) {
      this.text = text
      return
    }
    this.text = ''
    if (closing.test(text)) this.destroy()
    this.owner.answered(this, Number(text.slice(9, 12)))
  }
}

function isWhole(text: string, headEnd: number): boolean {
  const length = contentLength.exec(text)
  if (length !== null) return text.length >= headEnd + 4 + Number(length[1])
  return !chunked.test(text) || text.endsWith('0\r\n\r\n')
}

export interface RequestText {
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly bodyBytes?: number | undefined
}

/** A request as it goes on the wire; with `bodyBytes`, a POST of about so much JSON. */
export function requestBytes({ path, headers = {}, bodyBytes }: RequestText): Buffer {
  const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  const head = `host: 127.0.0.1\r\nuser-agent: spillway-bench\r\naccept: */*\r\n${fields.join('')}`
  if (bodyBytes === undefined) return Buffer.from(`GET ${path} HTTP/1.1\r\n${head}\r\n`)
  const item = { id: 12_345, name: 'a thing of some kind', price: 12.5, tags: ['one', 'two'], inStock: true }
  const items = Array.from({ length: Math.round(bodyBytes / (JSON.stringify(item).length + 1)) }, () => item)
  const body = JSON.stringify({ items })
  const kind = `content-type: application/json\r\ncontent-length: ${body.length}\r\n`
  return Buffer.from(`POST ${path} HTTP/1.1\r\n${head}${kind}\r\n${body}`)
}
