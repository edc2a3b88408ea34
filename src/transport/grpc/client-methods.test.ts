import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, credentials, makeClientConstructor, type ServiceDefinition } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { expect, test } from 'vitest'
import { CatalogClient } from '../../../test/grpc/catalog.ts'
import { methodsOf } from './client-methods.ts'

const nowhere = ['localhost:1', credentials.createInsecure()] as const

test('of a generated client', () => {
  const methods = methodsOf(new CatalogClient(...nowhere), undefined)
  expect([...methods.keys()].sort()).toEqual(['getItem', 'importItems', 'listItems', 'quote'])
  expect(methods.get('quote')).toMatchObject({
    path: '/shop.Catalog/Quote',
    requestStream: true,
    responseStream: true,
    idempotent: false,
  })
})

test('of a client that somebody has extended', () => {
  class Extended extends (CatalogClient as unknown as typeof Client) {
    helper(): number {
      return 1
    }
  }
  expect(methodsOf(new Extended(...nowhere), undefined).has('getItem')).toBe(true)
  expect(methodsOf(new Extended(...nowhere), undefined).has('helper')).toBe(false)
})

test('of a client loaded from a proto, with what the proto says of idempotency', () => {
  const folder = mkdtempSync(join(tmpdir(), 'spillway-'))
  try {
    const file = join(folder, 'a.proto')
    writeFileSync(
      file,
      `syntax = "proto3"; package t; message M { int32 n = 1; }
       service S {
         rpc Read (M) returns (M) { option idempotency_level = NO_SIDE_EFFECTS; }
         rpc Put (M) returns (M) { option idempotency_level = IDEMPOTENT; }
         rpc Write (M) returns (M);
       }`,
    )
    const Loaded = makeClientConstructor(loadSync(file)['t.S'] as ServiceDefinition, 'S')
    const methods = methodsOf(new Loaded(...nowhere), undefined)
    expect(
      [...methods]
        .filter(([, { idempotent }]) => idempotent)
        .map(([name]) => name)
        .sort(),
    ).toEqual(['Put', 'Read', 'put', 'read'])
    expect(methods.get('Write')?.idempotent).toBe(false)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('of a client that was written out, by the definition of its service', () => {
  class Written extends Client {
    getItem(): string {
      return 'called'
    }
  }
  const written = new Written(...nowhere)
  expect(methodsOf(written, undefined).size).toBe(0)
  const methods = methodsOf(written, CatalogClient.service)
  expect([...methods.keys()]).toEqual(['getItem'])
  expect(methods.get('getItem')!.invoke()).toBe('called')
})

test('what is wrapped later is called wrapped', () => {
  const generated = new CatalogClient(...nowhere)
  const { invoke } = methodsOf(generated, undefined).get('getItem')!
  Object.assign(generated, { getItem: () => 'traced' })
  expect(invoke()).toBe('traced')
})
