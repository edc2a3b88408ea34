/**
 * A hashed timing wheel (Varghese and Lauck, 1987, scheme 6).
 *
 *   slot(at) = ceil(at / TICK) mod SLOTS
 *
 * Arming and disarming are a few pointer writes, whatever the number of alarms. One interval timer turns the
 * wheel, and only while something is armed; an alarm more than a full turn away is passed over until its turn
 * comes. An alarm is late by at most one tick plus whatever the event loop is late by, and never early.
 */
import type { Alarm, Clock } from './clock.ts'

const TICK_MS = 5
const SLOTS = 512
/** Turns without an alarm before the timer stops: starting and stopping it for every call would cost more. */
const IDLE_TICKS = 40

interface Slot {
  next: Alarm | undefined
}

export class TimingWheel implements Clock {
  private readonly slots: Slot[] = Array.from({ length: SLOTS }, () => ({ next: undefined }))
  readonly now: () => number
  private timer: NodeJS.Timeout | undefined
  /** What the timer was made with. A test that puts its own in place of it, or takes it away, gets a new timer. */
  private setInterval: typeof setInterval | undefined
  private clearInterval: typeof clearInterval | undefined
  private tick = 0
  /** How many of the alarms do not keep the process alive, how many do, and whether the timer does. */
  private resting = 0
  private holding = 0
  private held = false
  private idle = 0
  /** What is being rung. */
  private due: Alarm[] = []

  constructor(now: () => number) {
    this.now = now
  }

  /** How many alarms are waiting. */
  get armed(): number {
    return this.resting + this.holding
  }

  arm(alarm: Alarm, at: number): void {
    if (this.setInterval !== setInterval) this.start()
    if (alarm.previous !== undefined) this.disarm(alarm)
    alarm.at = at
    // The remainder by a power of two. A time that is no number, or infinite, falls into slot 0 and never comes.
    const slot = this.slots[Math.max(Math.ceil(at / TICK_MS), this.tick + 1) & (SLOTS - 1)] as Alarm
    const first = slot.next
    alarm.previous = slot
    alarm.next = first
    if (first !== undefined) first.previous = alarm
    slot.next = alarm
    if (alarm.keepAlive) {
      this.holding++
      if (!this.held) this.hold(true)
    } else this.resting++
  }

  disarm(alarm: Alarm): void {
    const { previous, next } = alarm
    if (previous === undefined) return
    previous.next = next
    if (next !== undefined) next.previous = previous
    alarm.previous = undefined
    alarm.next = undefined
    // The timer itself lets go at its next turn: doing it here would cost every call that finishes in time.
    if (alarm.keepAlive) this.holding--
    else this.resting--
  }

  swap(from: Alarm, to: Alarm): void {
    const { previous, next } = from
    if (previous === undefined) return
    to.at = from.at
    to.previous = previous
    to.next = next
    previous.next = to
    if (next !== undefined) next.previous = to
    from.previous = undefined
    from.next = undefined
    const turn = this.due.indexOf(from)
    if (turn >= 0) this.due[turn] = to
  }

  private start(): void {
    this.stop()
    this.setInterval = setInterval
    this.clearInterval = clearInterval
    this.tick = Math.floor(this.now() / TICK_MS)
    this.idle = 0
    this.timer = setInterval(() => this.turn(), TICK_MS)
    this.hold(this.holding > 0)
  }

  private turn(): void {
    const now = this.now()
    const tick = Math.floor(now / TICK_MS)
    // The slot of the tick that has only begun is visited too, for those in it that are due, and again next time:
    // the timer's turns fall anywhere within a tick. After a long stall one full turn visits every slot; more would
    // visit them again.
    const from = Math.max(this.tick + 1, tick + 2 - SLOTS)
    this.tick = tick
    for (let visited = from; visited <= tick + 1; visited++) this.visit(this.slots[visited % SLOTS]!, now)
    if (this.held && this.holding === 0) this.hold(false)
    if (this.armed > 0) this.idle = 0
    else if (++this.idle > IDLE_TICKS) this.stop()
  }

  /** Rings what is due in one slot. An alarm may arm or disarm others while it rings, so all due are collected first. */
  private visit(slot: Slot, now: number): void {
    let due: Alarm[] | undefined
    for (let alarm = slot.next; alarm !== undefined; alarm = alarm.next) {
      if (alarm.at <= now) {
        due ??= []
        due.push(alarm)
      }
    }
    if (due === undefined) return
    this.due = due
    for (const alarm of due) {
      // Disarmed, or disarmed and armed for later, by an alarm that rang before it.
      if (alarm.previous === undefined || alarm.at > now) continue
      this.disarm(alarm)
      try {
        alarm.ring()
      } catch (error) {
        // The process hears of it, and the alarms behind this one ring in time all the same.
        queueMicrotask(() => {
          throw error
        })
      }
    }
    this.due = []
  }

  private hold(held: boolean): void {
    this.held = held
    if (held) this.timer!.ref()
    else this.timer!.unref()
  }

  private stop(): void {
    this.clearInterval?.(this.timer)
    this.setInterval = undefined
    this.timer = undefined
    this.held = false
  }
}
