/** The clients, in a process of their own: each message is a load, and the answer is what came of it. */
import { answer } from '../lib/child.ts'
import { dice } from '../lib/dice.ts'
import { ClosedLoop } from './closed-loop.ts'
import type { ClosedLoad, OpenLoad } from './load.ts'
import { OpenLoop } from './open-loop.ts'

process.on('message', async (load: OpenLoad | ClosedLoad) => {
  if (load.mode === 'open') answer(await new OpenLoop(load, dice(load.seed)).run())
  else answer(await new ClosedLoop(load, dice(1)).run())
})
answer({})
