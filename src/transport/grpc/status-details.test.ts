import { expect, test } from 'vitest'
import { decodeRetryInfo, encodeRetryInfo } from './status-details.ts'

test('what is written is what protoc writes', () => {
  expect(encodeRetryInfo(8, 'busy', 1500).toString('hex')).toBe(
    `0808${'1204'}${Buffer.from('busy').toString('hex')}` +
      `1a36${'0a28'}${Buffer.from('type.googleapis.com/google.rpc.RetryInfo').toString('hex')}` +
      `120a${'0a08'}080110${'80cab5ee01'}`,
  )
})

test('a whole number of seconds has no nanos, and none at all is an empty duration', () => {
  expect(decodeRetryInfo(encodeRetryInfo(14, '', 2000))).toBe(2000)
  expect(decodeRetryInfo(encodeRetryInfo(14, '', 0))).toBe(0)
})

test('other details are passed over', () => {
  const other = Buffer.from('\x0a\x10x/google.rpc.Bad\x12\x00', 'latin1')
  const withOther = Buffer.concat([Buffer.from([0x1a, other.length]), other, encodeRetryInfo(8, '', 30)])
  expect(decodeRetryInfo(withOther)).toBe(30)
  expect(decodeRetryInfo(Buffer.concat([Buffer.from([0x1a, other.length]), other]))).toBeUndefined()
})

test('fixed-width fields are passed over', () => {
  const fixed = Buffer.from([0x49, 1, 2, 3, 4, 5, 6, 7, 8, 0x55, 1, 2, 3, 4])
  expect(decodeRetryInfo(Buffer.concat([fixed, encodeRetryInfo(8, '', 30)]))).toBe(30)
})

test('a negative delay asks for nothing', () => {
  const minusOne = Buffer.from('ffffffffffffffffff01', 'hex')
  const duration = Buffer.concat([Buffer.from([0x08]), minusOne])
  const info = Buffer.concat([Buffer.from([0x0a, duration.length]), duration])
  const url = Buffer.from('a/google.rpc.RetryInfo')
  const any = Buffer.concat([Buffer.from([0x0a, url.length]), url, Buffer.from([0x12, info.length]), info])
  expect(decodeRetryInfo(Buffer.concat([Buffer.from([0x1a, any.length]), any]))).toBeUndefined()
})

test.each([
  ['nothing', ''],
  ['a length beyond the end', '1aff'],
  ['a tag cut off', '80'],
  ['a group', '1b'],
])('%s asks for nothing', (_what, hex) => {
  expect(decodeRetryInfo(Buffer.from(hex, 'hex'))).toBeUndefined()
})
