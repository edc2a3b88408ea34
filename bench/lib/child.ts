import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export interface Child {
  readonly process: ChildProcess
  /** The next message that the child sends. Rejects when it ends without one. */
  next<T>(): Promise<T>
  send(message: object | string | number): void
  stop(): Promise<void>
}

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))

/** Starts a file of the bench in a process of its own. It ends with this process, however this one ends. */
export function start(file: URL, args: readonly string[] = [], nodeFlags: readonly string[] = []): Child {
  const child = fork(fileURLToPath(file), args, {
    // Those that load TypeScript are for TypeScript only.
    execArgv: [...(file.pathname.endsWith('.ts') ? process.execArgv : []), ...nodeFlags],
    // As JSON, what is not a number would become nothing.
    serialization: 'advanced',
  })
  running.add(child)
  const ended = new Promise<void>(resolve => {
    child.once('exit', () => {
      running.delete(child)
      resolve()
    })
  })
  return {
    process: child,
    next: <T>() =>
      new Promise<T>((resolve, reject) => {
        const onExit = (code: number | null): void => {
          child.off('message', onMessage)
          reject(new Error(`${file.pathname} ${args.join(' ')} ended with code ${code} before it answered`))
        }
        const onMessage = (message: unknown): void => {
          child.off('exit', onExit)
          resolve(message as T)
        }
        child.once('exit', onExit)
        child.once('message', onMessage)
      }),
    send: message => {
      child.send(message)
    },
    stop: () => {
      child.kill('SIGKILL')
      return ended
    },
  }
}

// A child whose parent was killed has nobody left to stop it.
process.once('disconnect', () => process.exit())

/** What a child process answers with. */
export function answer(message: object): void {
  process.send!(message)
}
