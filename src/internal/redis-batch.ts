import type { RedisClient } from './redis-client.ts'

/** A client that can send several commands in one write. That of a cluster cannot: each may go to another server. */
interface PipeliningClient extends RedisClient {
  readonly isCluster?: boolean
  readonly options?: { readonly enableAutoPipelining?: boolean }
  pipeline?(): {
    evalsha(sha1: string, numberOfKeys: number, ...keysAndArguments: (string | number)[]): unknown
    exec(): Promise<[error: Error | null, reply: unknown][] | null>
  }
}

interface Script {
  readonly source: string
  readonly sha1: string
}

/** One script to run, and who waits for it. */
interface Job {
  readonly script: Script
  readonly keys: readonly string[]
  readonly args: readonly (string | number)[]
  readonly resolve: (reply: unknown) => void
  readonly reject: (error: unknown) => void
}

const batches = new WeakMap<RedisClient, Batch>()

/** Where the scripts for `client` are gathered; all that share the client share it. */
export function batchOf(client: RedisClient): Batch {
  let batch = batches.get(client)
  if (batch === undefined) {
    batch = new Batch(client)
    batches.set(client, batch)
  }
  return batch
}

/**
 * Sends the scripts that are asked for in one turn of the event loop in one write, because half of what a command
 * costs a busy process, and a good part of what it costs Redis, is the system call. One that comes alone is sent as it
 * is. Each is answered, and fails, by itself.
 */
class Batch {
  private readonly client: PipeliningClient
  private readonly gathers: boolean
  private jobs: Job[]

  constructor(client: PipeliningClient) {
    this.client = client
    this.gathers =
      client.pipeline !== undefined &&
      client.isCluster !== true &&
      client.options?.enableAutoPipelining !== true
    this.jobs = []
  }

  run(script: Script, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const job: Job = { script, keys, args, resolve, reject }
      if (!this.gathers) this.send(job)
      // After everything that the replies of this turn make their callers ask for.
      else if (this.jobs.push(job) === 1) process.nextTick(flush, this)
    })
  }

  /** @internal */
  flush(): void {
    const { jobs } = this
    this.jobs = []
    if (jobs.length === 1) this.send(jobs[0]!)
    else this.sendAll(jobs)
  }

  private sendAll(jobs: readonly Job[]): void {
    try {
      const pipeline = this.client.pipeline!()
      for (const { script, keys, args } of jobs) pipeline.evalsha(script.sha1, keys.length, ...keys, ...args)
      pipeline.exec().then(
        results => {
          for (const [i, job] of jobs.entries()) {
            const [error, reply] = results?.[i] ?? [
              new Error('Redis answered fewer commands than were sent'),
              undefined,
            ]
            if (error === null) job.resolve(reply)
            else this.failed(job, error)
          }
        },
        error => {
          for (const { reject } of jobs) reject(error)
        },
      )
    } catch (error) {
      for (const { reject } of jobs) reject(error)
    }
  }

  private send(job: Job): void {
    const { script, keys, args, resolve } = job
    try {
      this.client
        .evalsha(script.sha1, keys.length, ...keys, ...args)
        .then(resolve, error => this.failed(job, error))
    } catch (error) {
      job.reject(error)
    }
  }

  private failed({ script, keys, args, resolve, reject }: Job, error: unknown): void {
    // Only this error means that nothing was done; after any other the script may have run.
    if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) reject(error)
    else this.client.eval(script.source, keys.length, ...keys, ...args).then(resolve, reject)
  }
}

function flush(batch: Batch): void {
  batch.flush()
}
