declare module 'toobusy-js' {
  interface TooBusy {
    (): boolean
    shutdown(): void
  }
  const toobusy: TooBusy
  export default toobusy
}

declare module 'overload-protection' {
  import type { IncomingMessage, ServerResponse } from 'node:http'

  type Protect = (request: IncomingMessage, response: ServerResponse, next?: () => void) => true | undefined
  export default function protect(
    framework: 'http' | 'express',
    options?: { readonly production?: boolean; readonly logging?: false },
  ): Protect
}
