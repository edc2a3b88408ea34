/**
 * What is left of a server under overload: six kinds of handlers at up to eight times what they can serve, without
 * protection, behind the protections there are for Node, behind the laws of other languages, and behind ours.
 *
 * One server at a time, in a process and on a core of its own; the clients, which wait for nobody, on the other core.
 */
import { finish, progress, quick } from '../lib/report.ts'
import { drawCharts } from './charts.ts'
import { choiceHelp, choiceOf, measureChoice } from './choice.ts'
import { bestPeer, figuresOf } from './figures.ts'
import { handlerNames, handlers } from './handlers.ts'
import { plan } from './plan.ts'
import { measureAll, slowerPoints, tables } from './results.ts'
import { startRig, stopRig } from './rig.ts'
import { subjects } from './subjects.ts'

const help = `npm run bench:overload              all subjects, all loads: about 14 minutes; writes bench/results/overload*
npm run bench:overload -- --quick   the same, smaller: under 45 seconds; writes nothing
${choiceHelp}

Handlers
${handlerNames.map(name => `  ${name.padEnd(20)}${handlers[name].about}`).join('\n')}
Subjects
${Object.entries(subjects)
  .map(([name, { title }]) => `  ${name.padEnd(20)}${title}`)
  .join('\n')}

Goodput is what is answered 200 within 200 ms of the time when it was meant to set out, over what the bare handler can
serve at most, measured first in the same run. The figures are the last line of standard output, as JSON.`

if (process.argv.includes('--help') || process.argv.includes('-h')) {
  console.log(help)
  process.exit(0)
}

const startedAt = performance.now()
await startRig()
const choice = choiceOf(process.argv.slice(2))
if (choice !== undefined) {
  await measureChoice(choice)
  await stopRig()
  process.exit(0)
}
const results = await measureAll()
await stopRig()

process.stderr.write(`\n${tables(results)}\n\n`)
const slower = slowerPoints(results)
if (slower !== undefined) progress(slower)
// Each begins with its handler, or with the part of the costs.
const disturbed = new Set(results.dirtyPoints.map(name => /^\w+/.exec(name)![0]))
progress(
  `${((performance.now() - startedAt) / 1_000).toFixed(0)} s; disturbed every time: ${results.dirtyPoints.length} points${disturbed.size === 0 ? '' : ` (${[...disturbed].join(', ')})`}`,
)
if (!quick) drawCharts(results)
finish({
  bench: 'overload',
  quick,
  command: 'npm run bench:overload',
  figures: figuresOf(results),
  details: {
    seconds: Math.round((performance.now() - startedAt) / 1_000),
    plan,
    bestPeers: Object.fromEntries(
      handlerNames.map(name => [name, { 4: bestPeer(results, name, 4), 8: bestPeer(results, name, 8) }]),
    ),
    ...results,
  },
})
