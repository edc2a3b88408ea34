import type { Redis } from 'ioredis'
import type { RedisClient } from '../../src/internal/redis-client.ts'
import { type ManualClock, manualClock } from '../../src/testing/index.ts'
import { setTime } from './redis-time.ts'

interface Message {
  at: number
  deliver(): void | Promise<void>
}

/** A process of the fleet: its own clock, which stands wherever it likes, and its own way to Redis. */
export interface FleetNode {
  readonly clock: ManualClock
  readonly client: RedisClient
  /** A crashed process gets no replies any more; what it sent still arrives. */
  crashed: boolean
}

/** A grant, on the fleet's own time in milliseconds. */
export interface Grant {
  readonly at: number
  readonly cost: number
}

/**
 * Processes and a network in simulated time around the scripts in a real Redis. Each message takes its own time, so
 * messages overtake each other, and some come after the sender has given up.
 */
export class Fleet {
  now: number
  /** While it is away, Redis gets no messages, and what is on its way is lost. */
  redisAway: boolean
  readonly grants: Grant[]
  nodes: FleetNode[]
  private readonly real: Redis
  private readonly delayMs: () => number
  private messages: Message[]

  constructor(real: Redis, delayMs: () => number) {
    this.now = 0
    this.redisAway = false
    this.grants = []
    this.nodes = []
    this.real = real
    this.delayMs = delayMs
    this.messages = []
  }

  join(startMs: number): FleetNode {
    const node: FleetNode = {
      clock: manualClock({ startMs }),
      client: {
        evalsha: (...args) => this.send(node, () => this.real.evalsha(...args)),
        eval: (...args) => this.send(node, () => this.real.eval(...args)),
      },
      crashed: false,
    }
    this.nodes.push(node)
    return node
  }

  crash(node: FleetNode): void {
    node.crashed = true
    this.nodes = this.nodes.filter(other => other !== node)
  }

  granted(cost: number): void {
    this.grants.push({ at: this.now, cost })
  }

  /** Lets `ms` pass, a millisecond at a time. */
  async pass(ms: number): Promise<void> {
    for (let i = 0; i < ms; i++) {
      this.now++
      const due = this.messages.filter(message => message.at <= this.now)
      this.messages = this.messages.filter(message => message.at > this.now)
      if (due.length > 0) await setTime(this.real, 80_000_000_000_000 + this.now * 1000)
      for (const message of due.sort((a, b) => a.at - b.at)) await message.deliver()
      for (const node of this.nodes) await node.clock.advance(1)
    }
  }

  /** By how much the grants of any interval are above `burst + perMs * length`. */
  excess(burst: number, perMs: number): number {
    let most = Number.NEGATIVE_INFINITY
    for (const [i, first] of this.grants.entries()) {
      let sum = 0
      for (let j = i; j < this.grants.length; j++) {
        sum += this.grants[j]!.cost
        // A grant of one millisecond may have been decided anywhere in it.
        most = Math.max(most, sum - burst - perMs * (this.grants[j]!.at - first.at + 1))
      }
    }
    return most
  }

  private send(node: FleetNode, run: () => Promise<unknown>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const back = (deliver: () => void): void => {
        this.messages.push({
          at: this.now + this.delayMs(),
          deliver: () => {
            if (!node.crashed) deliver()
          },
        })
      }
      this.messages.push({
        at: this.now + this.delayMs(),
        deliver: async () => {
          if (this.redisAway) return
          try {
            const reply = await run()
            back(() => resolve(reply))
          } catch (error) {
            back(() => reject(error))
          }
        },
      })
    })
  }
}
