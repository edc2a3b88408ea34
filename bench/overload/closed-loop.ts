/** Clients that each wait for an answer before they send again: they find out how much a server can do at most. */
import { Connection, type ConnectionOwner, requestBytes } from './connection.ts'
import { type ClosedLoad, type ClosedOutcome, quantile } from './load.ts'
import { pins, usedMs } from './machine.ts'

export class ClosedLoop implements ConnectionOwner {
  private readonly load: ClosedLoad
  private readonly random: () => number
  private readonly bytes: readonly { readonly upTo: number; readonly bytes: Buffer }[]
  private readonly sentAt: Map<Connection, number>
  private readonly latencies: number[]
  private served: number
  private refused: number
  private going: boolean
  private startedAt: number

  constructor(load: ClosedLoad, random: () => number) {
    this.load = load
    this.random = random
    let upTo = 0
    const total = load.kinds.reduce((sum, { weight }) => sum + weight, 0)
    this.bytes = load.kinds.map(kind => {
      upTo += kind.weight / total
      return { upTo, bytes: requestBytes(kind) }
    })
    this.sentAt = new Map()
    this.latencies = []
    this.served = 0
    this.refused = 0
    this.going = true
    this.startedAt = 0
  }

  run(): Promise<ClosedOutcome> {
    const { connections, port, settle = 0, seconds: length, pid } = this.load
    const used = (): number => (pid === undefined ? Number.NaN : usedMs(pid))
    let before = used()
    this.startedAt = performance.now()
    for (let i = 0; i < connections; i++) this.send(new Connection(port, this))
    if (pid !== undefined && pins) this.stayAwake()
    if (settle > 0) {
      setTimeout(() => {
        this.served = this.refused = this.latencies.length = 0
        before = used()
        this.startedAt = performance.now()
      }, settle * 1_000)
    }
    return new Promise(resolve => {
      setTimeout(
        () => {
          this.going = false
          const cpuMs = used() - before
          const seconds = (performance.now() - this.startedAt) / 1_000
          for (const connection of this.sentAt.keys()) connection.destroy()
          resolve({
            seconds,
            cpuMs,
            served: this.served,
            refused: this.refused,
            p50Ms: quantile(this.latencies, 0.5),
            p99Ms: quantile(this.latencies, 0.99),
          })
        },
        (settle + length) * 1_000,
      )
    })
  }

  /**
   * Where the server's processor time is looked at, the clients never sleep. Waking them is part of the server's
   * write, which on a virtual machine can take as long as all the rest of an answer; and the quicker the server, the
   * less often do the clients get to sleep. Over a network the server wakes nobody.
   */
  private stayAwake(): void {
    if (this.going) setImmediate(() => this.stayAwake())
  }

  answered(connection: Connection, status: number): void {
    if (!this.going) return
    if (status === 200) {
      this.served++
      this.latencies.push(performance.now() - this.sentAt.get(connection)!)
    } else this.refused++
    if (connection.open) this.send(connection)
  }

  closed(connection: Connection): void {
    this.sentAt.delete(connection)
    if (this.going) this.send(new Connection(this.load.port, this))
  }

  private send(connection: Connection): void {
    this.sentAt.set(connection, performance.now())
    const x = this.random()
    connection.send((this.bytes.find(({ upTo }) => x < upTo) ?? this.bytes.at(-1)!).bytes)
  }
}
