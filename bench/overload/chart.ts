/** Line charts as SVG, side by side: no dependencies, and readable on a light page and on a dark one. */

export interface Series {
  readonly name: string
  /** Where there is no `y` the line has a gap. */
  readonly points: readonly { readonly x: number; readonly y: number | null }[]
}

export interface Axis {
  readonly label: string
  readonly min: number
  readonly max: number
  readonly ticks: readonly { readonly at: number; readonly text: string }[]
  readonly log?: boolean
}

export interface Panel {
  readonly title: string
  readonly series: readonly Series[]
  /** Times at which something happens. */
  readonly marks?: readonly { readonly x: number; readonly text: string }[]
}

export interface Chart {
  readonly title: string
  readonly subtitle: string
  readonly x: Axis
  readonly y: Axis
  readonly columns: number
  readonly panels: readonly Panel[]
  /** Who is drawn how, in the order of the legend; the last one on top. */
  readonly styles: Readonly<Record<string, Style>>
  readonly panelWidth?: number
  readonly panelHeight?: number
  readonly dots?: boolean
}

export interface Style {
  /** On light pages, and on dark ones. */
  readonly colour: readonly [light: string, dark: string]
  readonly width: number
  readonly dash?: string
}

const MARGIN = { left: 24, right: 16, top: 64, bottom: 16 }
const PANEL = { left: 44, right: 14, top: 30, bottom: 48 }

export function svg(chart: Chart): string {
  const { panels, columns, styles } = chart
  const width = chart.panelWidth ?? 300
  const height = chart.panelHeight ?? 240
  const rows = Math.ceil(panels.length / columns)
  const names = Object.keys(styles)
  const totalWidth = MARGIN.left + columns * width + MARGIN.right
  const legend = legendOf(names, totalWidth)
  const totalHeight = MARGIN.top + rows * height + legend.height + MARGIN.bottom
  const body = panels.map((panel, i) => {
    const x = MARGIN.left + (i % columns) * width
    const y = MARGIN.top + Math.floor(i / columns) * height
    return `<g transform="translate(${x} ${y})">${panelOf(panel, chart, names, width, height)}</g>`
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${totalWidth} ${totalHeight}" width="${totalWidth}" height="${totalHeight}" role="img" aria-label="${escaped(chart.title)}">`,
    `<style>${css(names, styles)}</style>`,
    text(MARGIN.left, 26, chart.title, 'title'),
    text(MARGIN.left, 46, chart.subtitle, 'note'),
    ...body,
    `<g transform="translate(${MARGIN.left} ${MARGIN.top + rows * height + 8})">${legend.body}</g>`,
    '</svg>',
    '',
  ].join('\n')
}

function css(names: readonly string[], styles: Chart['styles']): string {
  const colours = (theme: 0 | 1): string =>
    names
      .map((name, i) => `.s${i}{stroke:${styles[name]!.colour[theme]};fill:${styles[name]!.colour[theme]}}`)
      .join('')
  const lines = names
    .map((name, i) => {
      const { width, dash } = styles[name]!
      return `.s${i}{stroke-width:${width}${dash === undefined ? '' : `;stroke-dasharray:${dash}`}}`
    })
    .join('')
  return [
    'text{font:12px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#424a53}',
    '.title{font-size:17px;font-weight:600;fill:#1f2328}.panel{font-size:13px;font-weight:600;fill:#1f2328}',
    '.note,.tick{fill:#59636e}.end{text-anchor:end}.middle{text-anchor:middle}',
    '.grid{stroke:#8c959f;stroke-opacity:.3}.axis{stroke:#8c959f}.mark{stroke:#8c959f;stroke-dasharray:2 3}',
    'path.line{fill:none!important;stroke-linejoin:round;stroke-linecap:round}circle{stroke:none!important}',
    lines,
    colours(0),
    '@media (prefers-color-scheme:dark){text{fill:#b7bdc8}.title,.panel{fill:#f0f6fc}.note,.tick{fill:#9198a1}',
    `${colours(1)}}`,
  ].join('')
}

function panelOf(
  panel: Panel,
  chart: Chart,
  names: readonly string[],
  width: number,
  height: number,
): string {
  const { x, y } = chart
  const left = PANEL.left
  const right = width - PANEL.right
  const top = PANEL.top
  const bottom = height - PANEL.bottom
  const toX = (value: number): number => left + part(value, x) * (right - left)
  const toY = (value: number): number => bottom - part(value, y) * (bottom - top)
  const parts = [text(left, 16, panel.title, 'panel')]
  for (const { at, text: label } of y.ticks) {
    parts.push(line(left, toY(at), right, toY(at), at === y.min ? 'axis' : 'grid'))
    parts.push(text(left - 6, toY(at) + 4, label, 'tick end'))
  }
  for (const { at, text: label } of x.ticks) {
    parts.push(line(toX(at), bottom, toX(at), bottom + 4, 'axis'))
    parts.push(text(toX(at), bottom + 17, label, 'tick middle'))
  }
  parts.push(text((left + right) / 2, bottom + 34, x.label, 'note middle'))
  for (const { x: at, text: label } of panel.marks ?? []) {
    parts.push(line(toX(at), top, toX(at), bottom, 'mark'), text(toX(at) + 4, top + 11, label, 'note'))
  }
  for (const { name, points } of panel.series.toSorted(
    (a, b) => names.indexOf(a.name) - names.indexOf(b.name),
  )) {
    const style = `s${names.indexOf(name)}`
    parts.push(`<path class="line ${style}" d="${pathOf(points, toX, toY)}"/>`)
    if (chart.dots === false) continue
    for (const { x: px, y: py } of points) {
      if (py !== null) {
        parts.push(`<circle class="${style}" cx="${round(toX(px))}" cy="${round(toY(py))}" r="2.6"/>`)
      }
    }
  }
  return parts.join('')
}

function pathOf(
  points: Series['points'],
  toX: (value: number) => number,
  toY: (value: number) => number,
): string {
  let gap = true
  return points
    .map(({ x, y }) => {
      if (y === null) {
        gap = true
        return ''
      }
      const step = `${gap ? 'M' : 'L'}${round(toX(x))} ${round(toY(y))}`
      gap = false
      return step
    })
    .join('')
}

/** Where a value lies between the ends of its axis, from 0 to 1. What lies outside is drawn at the end. */
function part(value: number, { min, max, log }: Axis): number {
  const scale = log === true ? Math.log2 : (x: number): number => x
  return Math.min(1, Math.max(0, (scale(value) - scale(min)) / (scale(max) - scale(min))))
}

function legendOf(
  names: readonly string[],
  width: number,
): { readonly body: string; readonly height: number } {
  const parts: string[] = []
  let x = 0
  let y = 8
  for (const [i, name] of names.entries()) {
    const itemWidth = 42 + name.length * 6.3
    if (x + itemWidth > width - MARGIN.left - MARGIN.right) {
      x = 0
      y += 20
    }
    parts.push(`<path class="line s${i}" d="M${x} ${y}h22"/>`, text(x + 28, y + 4, name, ''))
    x += itemWidth
  }
  return { body: parts.join(''), height: y + 16 }
}

function line(x1: number, y1: number, x2: number, y2: number, style: string): string {
  return `<line class="${style}" x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}"/>`
}

function text(x: number, y: number, content: string, style: string): string {
  return content === ''
    ? ''
    : `<text class="${style}" x="${round(x)}" y="${round(y)}">${escaped(content)}</text>`
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}

function round(value: number): number {
  return Number(value.toFixed(1))
}
