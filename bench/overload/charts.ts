/** The pictures of a full run. */
import { writeFileSync } from 'node:fs'
import { type Axis, type Chart, type Panel, type Style, svg } from './chart.ts'
import type { Curve } from './curves.ts'
import { type HandlerName, handlerNames, handlers } from './handlers.ts'
import { plan } from './plan.ts'
import type { Results } from './results.ts'
import { type SubjectName, subjects } from './subjects.ts'

const folder = new URL('../results/', import.meta.url)

const styles: Readonly<Record<SubjectName, Style>> = {
  none: { colour: ['#8c959f', '#6e7681'], width: 1.6, dash: '4 3' },
  toobusy: { colour: ['#bf8700', '#d29922'], width: 1.5 },
  overloadProtection: { colour: ['#8250df', '#a371f7'], width: 1.5 },
  underPressure: { colour: ['#bf3989', '#db61a2'], width: 1.5 },
  bbr: { colour: ['#cf5f00', '#f0883e'], width: 1.5 },
  gradient2: { colour: ['#1a7f37', '#3fb950'], width: 1.5 },
  spillway: { colour: ['#0969da', '#58a6ff'], width: 3.2 },
}

const byTitle: Readonly<Record<string, Style>> = Object.fromEntries(
  Object.entries(styles).map(([name, style]) => [subjects[name as SubjectName].title, style]),
)

const load: Axis = {
  label: 'load, as a multiple of the capacity',
  min: 0.7,
  max: 8,
  log: true,
  ticks: [0.7, 1, 2, 4, 8].map(at => ({ at, text: `${at}×` })),
}

const goodput: Axis = {
  label: 'goodput',
  min: 0,
  max: 1.2,
  ticks: [0, 0.25, 0.5, 0.75, 1].map(at => ({ at, text: `${at * 100} %` })),
}

const latency: Axis = {
  label: 'ms',
  min: 1,
  max: 1_000,
  log: true,
  ticks: [1, 10, 100, 1_000].map(at => ({ at, text: at === 1_000 ? '1 s' : `${at} ms` })),
}

export function drawCharts(results: Results): void {
  const heroHandlers: readonly HandlerName[] = ['cpu', 'mixed', 'pool']
  const panel = (name: HandlerName, value: (point: Curve['points'][number]) => number | null): Panel => ({
    title: handlers[name].title,
    series: results.handlers[name].curves.map(({ subject, points }) => ({
      name: subjects[subject].title,
      points: points.map(point => ({ x: point.load, y: value(point) })),
    })),
  })
  const good = 'Answers within 200 ms, as a part of what the handler can serve.'
  const curves: Chart = {
    title: 'Goodput under overload',
    subtitle: `${good} One core, open-loop clients.`,
    x: load,
    y: goodput,
    columns: 3,
    panels: handlerNames.map(name => panel(name, point => point.goodput)),
    styles: byTitle,
  }
  write('overload-goodput.svg', curves)
  write('overload-hero.svg', {
    ...curves,
    title: 'What is left of a Node.js server under overload',
    panels: heroHandlers.map(name => panel(name, point => point.goodput)),
    panelHeight: 270,
  })
  write('overload-p99.svg', {
    ...curves,
    title: 'How long accepted requests take',
    subtitle: '99th percentile of the requests that were answered 200, from when they were meant to set out.',
    y: latency,
    panels: handlerNames.map(name => panel(name, point => (Number.isNaN(point.p99Ms) ? null : point.p99Ms))),
  })
  write('overload-step.svg', steps(results, heroHandlers))
}

function steps(results: Results, names: readonly HandlerName[]): Chart {
  const [before, during, after] = plan.step.map(({ settle = 0, seconds }) => settle + seconds)
  const stepAtS = before!
  const calmAtS = stepAtS + during!
  const endS = calmAtS + after!
  return {
    title: 'A step to four times the capacity, and back',
    subtitle:
      'Good answers in each tenth of a second, as a part of the capacity. Half of it is asked for before and after.',
    x: {
      label: 'seconds',
      min: 0,
      max: endS,
      ticks: Array.from({ length: Math.floor(endS) + 1 }, (_, at) => ({ at, text: String(at) })),
    },
    y: { ...goodput, max: 1.5, ticks: [0, 0.5, 1, 1.5].map(at => ({ at, text: `${at * 100} %` })) },
    columns: 3,
    panels: names.map(name => ({
      title: handlers[name].title,
      marks: [
        { x: stepAtS, text: '4×' },
        { x: calmAtS, text: '0.5×' },
      ],
      series: results.handlers[name].curves.map(({ subject, timeline }) => ({
        name: subjects[subject].title,
        points: timeline.slice(0, 10 * endS).map((y, i) => ({ x: (i + 0.5) / 10, y })),
      })),
    })),
    styles: byTitle,
    dots: false,
  }
}

function write(name: string, chart: Chart): void {
  writeFileSync(new URL(name, folder), svg(chart))
}
