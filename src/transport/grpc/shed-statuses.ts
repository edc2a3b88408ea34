import { Metadata, type StatusObject } from '@grpc/grpc-js'
import { pressureField, pressureText } from '../../internal/pressure-field.ts'
import { noTask, ShedCall } from '../../shedding/call.ts'
import type { Refusal } from '../../shedding/index.ts'
import { rejectionOf } from '../../shedding/refusal.ts'
import { statusOf } from './status.ts'

/** What refused calls are answered with, made beforehand. */
export class ShedStatuses {
  private readonly elsewhere: StatusObject
  private readonly never: StatusObject
  private readonly late: StatusObject

  constructor(name: string) {
    const answer = (again: boolean, refusal: Refusal): StatusObject => {
      const call = new ShedCall(1, again, undefined, undefined, Infinity, noTask)
      return statusOf(
        rejectionOf(name, call, refusal, () => 0.5),
        false,
      )
    }
    this.elsewhere = answer(false, 'limit')
    this.never = answer(true, 'limit')
    this.late = answer(false, 'late')
  }

  /** `again`: it is a second try, and there should be no third. */
  of(refusal: Refusal, again: boolean, pressure: number): StatusObject {
    const status = refusal === 'late' ? this.late : again ? this.never : this.elsewhere
    return withPressure(status, pressureText(pressure))
  }
}

/** The same status, with a trailer that tells of the pressure. */
export function withPressure<S extends Partial<StatusObject>>(status: S, pressure: string | undefined): S {
  if (pressure === undefined) return status
  const metadata = status.metadata?.clone() ?? new Metadata()
  metadata.set(pressureField, pressure)
  return { ...status, metadata }
}
