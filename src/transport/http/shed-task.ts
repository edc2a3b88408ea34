import { AsyncResource } from 'node:async_hooks'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { systemClock } from '../../core/clock.ts'
import type { Refusal, ShedCall, ShedTask as Task } from '../../shedding/index.ts'
import type { ShedIntake } from './shed-intake.ts'

type WriteHead = (status: number, reason?: unknown, headers?: unknown) => ServerResponse

const task: unique symbol = Symbol('spillway.shed')

type Holder = ServerResponse & { [task]?: ShedTask | undefined }

const tasks: unique symbol = Symbol('spillway.shed')

type Line = Socket & { [tasks]?: TaskList | undefined }

/** The requests of a connection that count as in flight: mostly one, or none, so a list of their own links does. */
class TaskList {
  first: ShedTask | undefined = undefined

  add(task: ShedTask): void {
    const { first } = this
    task.next = first
    if (first !== undefined) first.previous = task
    this.first = task
  }

  remove(task: ShedTask): void {
    const { next, previous } = task
    if (previous === undefined) this.first = next
    else previous.next = next
    if (next !== undefined) next.previous = previous
    task.next = undefined
    task.previous = undefined
  }
}

/**
 * Listening to the connection and not to each response, because Node does not tell a response that waits behind
 * others of its connection that the connection has closed.
 */
function tasksOn(line: Line): TaskList {
  let held = line[tasks]
  if (held === undefined) {
    const list = new TaskList()
    held = list
    line[tasks] = list
    line.once('close', () => {
      for (let task = list.first; task !== undefined; task = task.next) task.closed()
    })
  }
  return held
}

/**
 * A request that a shedder has been asked about. Let in, it counts as in flight until the head of its answer has
 * been sent, or until nobody can be answered any more.
 */
export class ShedTask implements Task {
  /** Whether the shedder has said what becomes of it. */
  told: boolean
  /** Its neighbours among the requests in flight of its connection. */
  next: ShedTask | undefined
  previous: ShedTask | undefined
  private readonly intake: ShedIntake
  private readonly request: IncomingMessage
  private readonly response: ServerResponse
  private readonly expects: boolean
  /** What belongs to the request, a trace above all, and must not get lost in the queue. */
  private resource: AsyncResource | undefined
  private call: ShedCall | undefined
  private writeHead: WriteHead | undefined
  /** Among which it is to be told that its connection has closed. */
  private list: TaskList | undefined

  constructor(intake: ShedIntake, request: IncomingMessage, response: ServerResponse, expects: boolean) {
    this.told = false
    this.next = undefined
    this.previous = undefined
    this.intake = intake
    this.request = request
    this.response = response
    this.expects = expects
    this.resource = undefined
    this.call = undefined
    this.writeHead = undefined
    this.list = undefined
  }

  get gone(): boolean {
    // Something further out may have answered, because its own time was up.
    return !this.request.socket.writable || this.response.writableEnded
  }

  wait(): void {
    this.resource = new AsyncResource('SpillwayRequest')
  }

  run(call: ShedCall): void {
    this.told = true
    const { intake, request, resource } = this
    if (resource === undefined) this.begin(call)
    else {
      intake.shorten(call, request)
      resource.runInAsyncScope(this.begin, this, call)
    }
  }

  refuse(call: ShedCall, refusal: Refusal): void {
    this.told = true
    this.intake.refuse(this.response, call, refusal)
  }

  private begin(call: ShedCall): void {
    const { intake, request, response, expects } = this
    intake.tell(call, response)
    // Only while it counts: one that is let through because nobody may be refused has nothing to give back.
    if (!call.counts) {
      intake.serve(request, response, expects)
      return
    }
    this.watch(call)
    try {
      intake.serve(request, response, expects)
    } finally {
      // One that has been answered by now need not hear of its connection.
      if (call.counts) this.hold()
    }
  }

  private watch(call: ShedCall): void {
    const { response } = this
    this.call = call
    this.writeHead = response.writeHead as WriteHead
    ;(response as Holder)[task] = this
    response.writeHead = writeHead as ServerResponse['writeHead']
  }

  private hold(): void {
    this.list = tasksOn(this.request.socket)
    this.list.add(this)
  }

  /** The head of the answer is sent. Errors that come at once say nothing: they would make requests look quick. */
  answer(status: number, reason: unknown, headers: unknown): ServerResponse {
    const answer = this.writeHead!.call(this.response, status, reason, headers)
    const call = this.call!
    if (!call.counts) return answer
    this.list?.remove(this)
    const now = systemClock.now()
    try {
      if (status < 400) call.success(now)
      else if (status === 503 || status === 504) call.dropped(now)
      else call.ignore(now)
    } catch (error) {
      this.intake.entry.broken(error)
    }
    return answer
  }

  /** Its connection has closed. */
  closed(): void {
    try {
      this.call!.ignore(systemClock.now())
    } catch (error) {
      this.intake.entry.broken(error)
    }
  }
}

function writeHead(this: Holder, status: number, reason?: unknown, headers?: unknown): ServerResponse {
  return this[task]!.answer(status, reason, headers)
}
