export { byHeader } from './by-header.ts'
export type { Fault, FaultOptions, FaultSettings, FaultSnapshot, InjectedFault } from './fault.ts'
export { fault, faultInjected } from './fault.ts'
export type { FaultRule } from './rule.ts'
