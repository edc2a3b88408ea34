import { type Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { type Advice, advise } from '../../core/advice.ts'
import { rejectedHeader } from '../wire/advice.ts'
import { MAX_PUSHBACK_MS, noteFromBelow, pushbackKey } from './status.ts'
import { decodeRetryInfo, statusDetailsKey } from './status-details.ts'

/** How grpc-js words a call that it gave up while it still held it. */
const NEVER_SENT = /^(?:No connection established|Name resolution failed|Channel closed before call started)/
/** How it words HTTP/2's REFUSED_STREAM: the server has not looked at the call, and says so. */
const NEVER_READ = 'Stream refused by server'

/**
 * Reads what the other side, or the lack of one, says about trying again, and writes it on the error. `sent` tells
 * whether the call was written to a connection.
 */
export function adviseCallError(error: ServiceError, sent: boolean): void {
  noteFromBelow(error)
  const advice = adviceIn(error, sent)
  if (advice !== undefined) advise(error, advice)
}

function adviceIn({ code, details, metadata }: ServiceError, sent: boolean): Advice | undefined {
  // An interceptor may have built the status, and need not have thought of metadata.
  const pushback = metadata?.get(pushbackKey)[0]
  if (pushback !== undefined) return pushbackAdvice(String(pushback))
  const delayMs = retryDelayMs(metadata)
  if (delayMs !== undefined) return { retry: 'later', retryAfterMs: Math.min(MAX_PUSHBACK_MS, delayMs) }
  if (metadata !== undefined && metadata.get(rejectedHeader).length > 0) return elsewhere
  // A server in between may pass such words on from further down, and then it has processed the call: but what
  // comes over the wire has metadata, the content type at least.
  if (code !== status.UNAVAILABLE || !isEmpty(metadata)) return undefined
  return sent
    ? details === NEVER_READ
      ? elsewhere
      : undefined
    : NEVER_SENT.test(details)
      ? elsewhere
      : undefined
}

function isEmpty(metadata: Metadata | undefined): boolean {
  return metadata === undefined || Object.keys(metadata.toJSON()).length === 0
}

/** A pushback that is not a number of milliseconds, a negative one too, means never (gRFC A6). */
function pushbackAdvice(text: string): Advice {
  if (!/^\d{1,15}$/.test(text)) return { retry: 'never' }
  return { retry: 'later', retryAfterMs: Math.min(MAX_PUSHBACK_MS, Number(text)) }
}

function retryDelayMs(metadata: Metadata | undefined): number | undefined {
  const details = metadata?.get(statusDetailsKey)[0]
  return details instanceof Uint8Array ? decodeRetryInfo(details) : undefined
}

const elsewhere: Advice = { retry: 'elsewhere' }
