import fc from 'fast-check'

// Every run draws the same cases, so that a change is what turns a property red and not the day.
// `SPILLWAY_SEED=random npm test` goes looking for others; a number brings back the ones that a failure names.
const { SPILLWAY_SEED: seed = '1' } = process.env
if (seed !== 'random') fc.configureGlobal({ seed: Number(seed) })
