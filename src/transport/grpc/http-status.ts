import { status } from '@grpc/grpc-js'
import { isRejection, type Reason } from '../../core/rejection.ts'
import { rejectedHeader } from '../wire/advice.ts'
import { isStatus, reasons } from './status.ts'

/** As Google's API gateways translate them (google/rpc/code.proto), from OK to UNAUTHENTICATED. */
const httpByStatus: readonly number[] = [
  200, // OK
  499, // CANCELLED: the client closed the request
  500, // UNKNOWN
  400, // INVALID_ARGUMENT
  504, // DEADLINE_EXCEEDED
  404, // NOT_FOUND
  409, // ALREADY_EXISTS
  403, // PERMISSION_DENIED
  429, // RESOURCE_EXHAUSTED
  400, // FAILED_PRECONDITION
  409, // ABORTED
  400, // OUT_OF_RANGE
  501, // UNIMPLEMENTED
  500, // INTERNAL
  503, // UNAVAILABLE
  500, // DATA_LOSS
  401, // UNAUTHENTICATED
]

/** The HTTP status that says what a gRPC status says, for a gateway between the two. */
export function httpStatusOf(code: status): number {
  return httpByStatus[code] ?? 500
}

/**
 * Why a call was refused, by this process or by the one that it asked: for logs and counters. `undefined` for
 * errors that are no refusals.
 */
export function reasonOf(error: unknown): Reason | undefined {
  if (isRejection(error)) return error.reason
  if (!isStatus(error)) return undefined
  const said = error.metadata?.get(rejectedHeader)[0]
  const reason = reasons.find(reason => reason === said)
  if (reason !== undefined) return reason
  if (error.code === status.CANCELLED) return 'cancelled'
  return error.code === status.DEADLINE_EXCEEDED ? 'deadline-exceeded' : undefined
}
