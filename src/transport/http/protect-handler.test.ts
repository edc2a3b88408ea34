import { describeProtection } from '../../../test/support/protection.ts'
import { protectHandler } from './protect-handler.ts'

describeProtection('protectHandler', (middleware, handle, options) =>
  protectHandler(middleware, handle, options),
)
