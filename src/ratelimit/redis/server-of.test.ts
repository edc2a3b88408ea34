import { Cluster, Redis } from 'ioredis'
import { expect, test } from 'vitest'
import { serverOf } from './server-of.ts'

const lazy = { lazyConnect: true }

test('two clients of one server reach the same keys', () => {
  expect(serverOf(new Redis(6_390, lazy))).toBe(serverOf(new Redis(6_390, 'localhost', lazy)))
  expect(serverOf(new Redis(lazy))).toBe(serverOf(new Redis('redis://localhost:6379', lazy)))
  expect(serverOf(new Redis('/run/redis.sock', lazy))).toBe(serverOf(new Redis('/run/redis.sock', lazy)))
})

test('another server, another database and another prefix are other keys', () => {
  const all = [
    new Redis(6_390, lazy),
    new Redis(6_391, lazy),
    new Redis(6_390, 'elsewhere', lazy),
    new Redis(6_390, { ...lazy, db: 1 }),
    new Redis(6_390, { ...lazy, keyPrefix: 'shop:' }),
    new Redis('/run/redis.sock', lazy),
  ].map(serverOf)
  expect(new Set(all).size).toBe(all.length)
})

test('a client that does not say where it is connected stands for itself', () => {
  const client = { evalsha: () => Promise.resolve(), eval: () => Promise.resolve() }
  expect(serverOf(client)).toBe(client)
  const cluster = new Cluster([{ port: 7_000 }], lazy)
  expect(serverOf(cluster)).toBe(cluster)
})
