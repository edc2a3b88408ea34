import { expect, test } from 'vitest'
import { announceSettings, type SettingsChange, settingsChanged } from './settings.ts'

const bucket = { kind: 'token-bucket', name: 'api' }

test('an update is announced with the options that were given', () => {
  const heard: SettingsChange[] = []
  const stop = settingsChanged.on(change => heard.push(change))
  announceSettings(bucket, { burst: 20, ratePerSecond: undefined })
  announceSettings(bucket, {})
  announceSettings(bucket, { burst: undefined })
  stop()
  expect(heard).toEqual([{ kind: 'token-bucket', name: 'api', changed: { burst: 20 } }])
})

test('an update that nobody listens to looks at nothing', () => {
  const options = Object.defineProperty({}, 'burst', {
    enumerable: true,
    get: () => expect.fail('was read'),
  })
  announceSettings(bucket, options)
})
