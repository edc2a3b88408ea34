export { contextOf, type ProtectOptions } from '../http/protect.ts'
export { errors } from './errors.ts'
export { protect } from './protect.ts'
