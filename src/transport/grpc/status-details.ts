/**
 * The one message of `google.rpc` that the kit speaks, written and read by hand, because three nested messages
 * are no reason to depend on a protobuf library:
 *
 *   grpc-status-details-bin = Status { 1: code, 2: message, 3: repeated Any { 1: type_url, 2: value } }
 *   RetryInfo               = { 1: retry_delay = Duration { 1: seconds, 2: nanos } }
 *
 * (https://github.com/googleapis/googleapis/blob/master/google/rpc/error_details.proto)
 */
export const statusDetailsKey = 'grpc-status-details-bin'

const RETRY_INFO = 'type.googleapis.com/google.rpc.RetryInfo'
const RETRY_INFO_NAME = 'google.rpc.RetryInfo'

const VARINT = 0
const FIXED64 = 1
const BYTES = 2
const FIXED32 = 5

/** The details of a status whose caller may try again after `delayMs`, a whole number. */
export function encodeRetryInfo(code: number, message: string, delayMs: number): Buffer {
  const seconds = Math.floor(delayMs / 1000)
  const nanos = (delayMs % 1000) * 1e6
  const duration = Buffer.concat([varintField(1, seconds), varintField(2, nanos)])
  const any = Buffer.concat([bytesField(1, Buffer.from(RETRY_INFO)), bytesField(2, bytesField(1, duration))])
  return Buffer.concat([varintField(1, code), bytesField(2, Buffer.from(message)), bytesField(3, any)])
}

/** The delay that a status asks for, in milliseconds. Never throws: bytes that are not a status ask for nothing. */
export function decodeRetryInfo(status: Uint8Array): number | undefined {
  for (const any of fields(status, 3)) {
    const url = first(any, 1)
    if (url === undefined || !isRetryInfo(url)) continue
    const info = first(any, 2)
    const duration = info === undefined ? undefined : first(info, 1)
    return duration === undefined ? undefined : durationMs(duration)
  }
  return undefined
}

function isRetryInfo(url: Uint8Array): boolean {
  const text = Buffer.from(url.buffer, url.byteOffset, url.byteLength).toString('latin1')
  return text.slice(text.lastIndexOf('/') + 1) === RETRY_INFO_NAME
}

function durationMs(duration: Uint8Array): number | undefined {
  let ms = 0
  for (const field of read(duration)) {
    if (field.number === 1) ms += field.value * 1000
    else if (field.number === 2) ms += field.value / 1e6
  }
  // A negative duration is ten bytes of varint and comes out far beyond what any retry would wait.
  return Number.isSafeInteger(Math.floor(ms)) ? ms : undefined
}

interface Field {
  readonly number: number
  /** Of a varint; 0 for every other type. */
  readonly value: number
  readonly bytes: Uint8Array | undefined
}

function first(message: Uint8Array, number: number): Uint8Array | undefined {
  return fields(message, number).next().value ?? undefined
}

function* fields(message: Uint8Array, number: number): Generator<Uint8Array, undefined> {
  for (const field of read(message)) {
    if (field.number === number && field.bytes !== undefined) yield field.bytes
  }
  return undefined
}

/** The fields of a message, in order, as far as it is well formed. */
function* read(message: Uint8Array): Generator<Field> {
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = message[at++]
      if (byte === undefined) return Number.NaN
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
    return Number.NaN
  }
  while (at < message.length) {
    const tag = varint()
    const number = Math.floor(tag / 8)
    switch (tag % 8) {
      case VARINT: {
        const value = varint()
        if (Number.isNaN(value)) return
        yield { number, value, bytes: undefined }
        break
      }
      case BYTES: {
        const end = varint() + at
        if (!(end <= message.length)) return
        yield { number, value: 0, bytes: message.subarray(at, end) }
        at = end
        break
      }
      case FIXED64:
        at += 8
        break
      case FIXED32:
        at += 4
        break
      default:
        return
    }
  }
}

function varintField(number: number, value: number): Buffer {
  return value === 0 ? Buffer.alloc(0) : Buffer.from([number * 8 + VARINT, ...varint(value)])
}

function bytesField(number: number, bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([number * 8 + BYTES, ...varint(bytes.length)]), bytes])
}

function varint(value: number): number[] {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) + 0x80)
  bytes.push(rest)
  return bytes
}
