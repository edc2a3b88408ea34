/** What a worker thread is given to begin with. */
export interface WorkerData {
  /** The address of the module. */
  readonly module: string
  /** The name under which it exports the handler. */
  readonly handler: string
}

/**
 * What runs in a worker thread. It is text and not a file beside this one, because a file would have to be found
 * at run time, and bundlers move files. A module that does not load ends the thread, and so fails the call that
 * the thread was started for.
 */
export const workerScript: string = `
const { parentPort, workerData } = require('node:worker_threads')
const loaded = import(workerData.module).then(module => {
  const handler = module[workerData.handler]
  if (typeof handler === 'function') return handler
  throw new TypeError('Expected ' + workerData.module + ' to export a function ' + workerData.handler + ', got ' + typeof handler)
})
let controller
async function run({ request, values }) {
  controller = new AbortController()
  const handler = await loaded
  let report
  try {
    report = { report: 'value', value: await handler(request, { ...values, signal: controller.signal }) }
  } catch (error) {
    report = failed(error)
  }
  controller = undefined
  try {
    parentPort.postMessage(report)
  } catch (error) {
    parentPort.postMessage(failed(error))
  }
}
function failed(error) {
  if (!(error instanceof Error)) {
    try {
      return { report: 'thrown', thrown: structuredClone(error) }
    } catch {
      return { report: 'thrown', thrown: String(error) }
    }
  }
  const facts = { name: String(error.name), message: String(error.message), stack: String(error.stack) }
  for (const key of ['code', 'status', 'statusCode']) {
    if (typeof error[key] === 'string' || typeof error[key] === 'number') facts[key] = error[key]
  }
  return { report: 'error', error: facts }
}
parentPort.on('message', message => {
  if (message.order === 'abort') controller?.abort()
  else run(message)
})
`
