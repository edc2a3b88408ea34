export { type Problem, type ProblemOptions, problemOf } from './problem.ts'
export { contextOf, type ProtectOptions } from './protect.ts'
export { protectHandler } from './protect-handler.ts'
export { protectServer } from './protect-server.ts'
