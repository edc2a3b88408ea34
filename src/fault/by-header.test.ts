import { Metadata } from '@grpc/grpc-js'
import { describe, expect, it } from 'vitest'
import { byHeader } from './by-header.ts'

describe('byHeader', () => {
  it('finds a header in the requests of node, fetch and gRPC', () => {
    const metadata = new Metadata()
    metadata.set('x-fault', 'slow')
    const requests = [
      { headers: { 'x-fault': 'slow' } },
      { headers: new Headers({ 'X-Fault': 'slow' }) },
      { metadata },
      { headers: { 'x-fault': ['fast', 'slow'] } },
    ]
    for (const request of requests) {
      expect(byHeader('X-Fault')(request)).toBe(true)
      expect(byHeader('x-fault', 'slow')(request)).toBe(true)
      expect(byHeader('x-fault', 'other')(request)).toBe(false)
      expect(byHeader('x-other')(request)).toBe(false)
    }
  })

  it('finds none in anything else', () => {
    for (const request of [undefined, null, 'text', 7, {}, { headers: null }, { headers: 'x-fault' }]) {
      expect(byHeader('x-fault')(request)).toBe(false)
    }
  })
})
