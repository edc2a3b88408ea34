import { defaultContext } from './ambient.ts'
import type { Context } from './context.ts'
import { Frame, soon } from './frame.ts'
import type { Gate } from './gate.ts'
import type { Handler } from './handler.ts'
import { deadlineExceeded } from './rejection.ts'
import { Row } from './row.ts'
import type { Task } from './task.ts'

/**
 * Runs a row of gates around a handler in one asynchronous frame. To every gate, and to the caller, it looks as
 * if each gate had a frame of its own: admitted outermost first, settled innermost first, each once. In one place
 * only can the two be told apart: a gate that ends the call from its own `settle` comes too late for its row, which
 * has one answer and hears of that one.
 */
export function fuse<Req, Res>(gates: readonly Gate<any, any>[], next: Handler<Req, Res>): Handler<Req, Res> {
  const row = new Row(gates, next, fuse)
  return (request, context = defaultContext()) => {
    const { scope } = context
    if (scope.ending !== undefined) return refused(scope.reason)
    const now = scope.clock.now()
    if (now >= scope.deadline) return refused(deadlineExceeded('context', false))
    return new Frame(row, request, context).run(now)
  }
}

/** The same around a task. A row with a gate that rescues calls has no use for it: it needs something to call again. */
export function fuseTask(gates: readonly Gate<any, any>[]): TaskRunner {
  const row = new Row(gates, noHandler, fuse)
  return (task, request, context) => {
    const { scope } = context
    if (scope.ending !== undefined) return task.failed(scope.reason)
    const now = scope.clock.now()
    if (now >= scope.deadline) return task.failed(deadlineExceeded('context', false))
    new Frame(row, request, context).perform(task, now)
  }
}

/** Sends a task through a row of gates. */
export type TaskRunner = (task: Task, request: unknown, context: Context) => void

function noHandler(): never {
  throw new Error('A task has no handler')
}

/**
 * A promise that is rejected a moment from now, when whoever is given it has had the time to wait for it: Node keeps
 * a list of the rejections that nobody waits for, and to be put on it for that moment costs more than all the rest.
 */
function refused(error: unknown): Promise<never> {
  return new Promise((_, reject) => {
    soon.then(() => reject(error))
  })
}
