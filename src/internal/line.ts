/** Somebody who stands in a line, or in none. The links belong to the line. */
export interface InLine<M extends InLine<M>> {
  line: Line<M> | undefined
  ahead: M | undefined
  behind: M | undefined
}

/** A line that is joined at its end, and left from anywhere in the same few pointer writes. */
export class Line<M extends InLine<M>> {
  length: number
  first: M | undefined
  last: M | undefined

  constructor() {
    this.length = 0
    this.first = undefined
    this.last = undefined
  }

  push(member: M): void {
    const { last } = this
    member.line = this
    member.ahead = last
    if (last === undefined) this.first = member
    else last.behind = member
    this.last = member
    this.length++
  }

  /** Takes `member` out, wherever it stands. Says whether it stood in this line. */
  remove(member: M): boolean {
    if (member.line !== this) return false
    const { ahead, behind } = member
    if (ahead === undefined) this.first = behind
    else ahead.behind = behind
    if (behind === undefined) this.last = ahead
    else behind.ahead = ahead
    member.line = undefined
    member.ahead = undefined
    member.behind = undefined
    this.length--
    return true
  }
}
