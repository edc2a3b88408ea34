import { defaultContext } from '../../core/ambient.ts'
import { type Context, openContext } from '../../core/context.ts'
import type { Around } from './around.ts'
import { clientStream, responseStream, unary } from './client-handlers.ts'
import type { ClientMethod } from './client-methods.ts'
import type { CallOptions } from './client-types.ts'
import { methodOf, outgoingCall } from './method.ts'
import { Outgoing } from './outgoing.ts'
import { ResponseStream } from './response-stream.ts'

type Options = CallOptions | Context | undefined

const noOptions: CallOptions = {}
const onceOrTwice = { idempotent: true }

/** The function through which a user calls one method: it sets up the context and runs the chain. */
export function caller(
  definition: ClientMethod,
  use: Around,
): (request: unknown, options?: Options) => unknown {
  const { idempotent, requestStream } = definition
  const method = methodOf(definition.path)
  const enter = (context: Context, outgoing: Outgoing): Context =>
    (idempotent ? context.with(onceOrTwice) : context).with(outgoingCall, outgoing)

  if (definition.responseStream) {
    const run = use(responseStream(definition))
    return (request, options) => {
      const given = callOptions(options)
      return new ResponseStream(parentOf(options), (parent, responses) =>
        within(parent, given, context =>
          run(request, enter(context, new Outgoing(method, given, responses))),
        ),
      )
    }
  }
  const run = use(requestStream ? clientStream(definition) : unary(definition))
  return (request, options) => {
    const given = callOptions(options)
    return within(parentOf(options), given, context =>
      run(request, enter(context, new Outgoing(method, given, undefined))),
    )
  }
}

function isContext(options: CallOptions | Context): options is Context {
  return 'scope' in options
}

function callOptions(options: Options): CallOptions {
  return options === undefined || isContext(options) ? noOptions : options
}

function parentOf(options: Options): Context {
  if (options === undefined) return defaultContext()
  return isContext(options) ? options : (options.context ?? defaultContext())
}

/** Runs `work` in `parent`, or in a context of its own if the call has a signal or a time of its own. */
function within<Res>(
  parent: Context,
  { signal, timeoutMs }: CallOptions,
  work: (context: Context) => Promise<Res>,
): Promise<Res> {
  if (signal === undefined && timeoutMs === undefined) return work(parent)
  try {
    const { context, close } = openContext({ parent, signal, timeoutMs })
    const answer = work(context)
    answer.then(close, close)
    return answer
  } catch (error) {
    return Promise.reject(error)
  }
}
