import { inspect } from 'spillway'

if (process.argv[1]?.endsWith('server.ts')) {
  let last = performance.now(),
    prev
  const rows = []
  const f = () => {
    const now = performance.now()
    last = now
    const m = inspect()[0]
    if (m) {
      const s = m.snapshot ?? m
      const q = s
      const ref = Object.entries(q.refused ?? {})
        .filter(([, v]) => v)
        .map(([k, v]) => `${k}:${v - (prev?.refused?.[k] ?? 0)}`)
        .join(' ')
      rows.push(
        `${now.toFixed(0)} inF ${q.inFlight} lim ${Number(q.limit).toFixed(1)} ${q.limitReason} q ${q.queued}/${q.queuedWorkMs?.toFixed(1)} st ${q.standing?.map(Number).join('')} dem ${q.demand?.toFixed(2)} rate ${q.drainRate?.toFixed(3)} adm ${q.admitted - (prev?.admitted ?? 0)} ref ${ref} ${JSON.stringify(Object.values(q.routes ?? {}).map(r => [+r.costMs.toFixed(2), +r.baseMs.toFixed(2)]))}`,
      )
      prev = structuredClone(q)
    }
  }
  setInterval(f, 20)
  process.on('exit', () => console.error(rows.slice(-Number(process.env.ROWS ?? 60)).join('\n')))
}
