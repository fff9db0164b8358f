/** Progress of an upload in words, for a terminal and for a page. */
import { DateTime } from "effect"
import type { UploadEvent } from "effect-video-auth/api-video"

/** What is known of an upload. */
export interface State {
  readonly filename: string
  readonly total: number | undefined
  readonly sent: number
  readonly rate: number | undefined
  readonly timeLeft: number | undefined
  readonly wait: { readonly why: string; readonly until: DateTime.Utc } | undefined
}

export const nothing: State = {
  filename: "",
  total: undefined,
  sent: 0,
  rate: undefined,
  timeLeft: undefined,
  wait: undefined
}

const reasons = { limit: "for the rate limit", refused: "because of a 429", retry: "before trying again" } as const

/** What an event changes. */
export const update = (state: State, event: UploadEvent): State => {
  switch (event._tag) {
    case "Started":
      return { ...state, filename: event.filename, total: event.total }
    case "Resumed":
      return { ...state, sent: event.received }
    case "Progress":
      return { ...state, ...event, wait: undefined }
    case "Waiting":
      return { ...state, wait: { why: reasons[event.reason], until: event.until } }
    case "Completed":
      return { ...state, sent: state.total ?? state.sent, timeLeft: 0, wait: undefined }
    case "Retrying":
      return state
  }
}

/** `65011712` bytes as `62.0`. */
const mebibytes = (bytes: number): string => (bytes / 1024 ** 2).toFixed(1)

/** `125000` milliseconds as `2:05`. */
const clock = (millis: number): string => {
  const seconds = Math.ceil(millis / 1_000)
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`
}

const secondsUntil = (until: DateTime.Utc, now: number): number =>
  Math.max(0, Math.ceil((DateTime.toEpochMillis(until) - now) / 1_000))

/** How far an upload is, from 0 to 1. */
export const shareOf = ({ sent, total }: State): number | undefined =>
  total === undefined ? undefined : Math.min(1, sent / total)

/** The state in words, as `62 %  62.5/100.0 MiB  5.0 MiB/s  1:15 left`. */
export const describe = (state: State, now: number): ReadonlyArray<string> => {
  const { rate, sent, timeLeft, total, wait } = state
  const share = shareOf(state)
  const percent = share === undefined ? [] : [`${Math.floor(share * 100)} %`.padStart(5)]
  const size = total === undefined ? `${mebibytes(sent)} MiB` : `${mebibytes(sent)}/${mebibytes(total)} MiB`
  if (wait !== undefined) return [...percent, size, `waits ${secondsUntil(wait.until, now)} s ${wait.why}`]
  // The last bytes are on their way, or the server works on them.
  const left = share === 1 ? "finishing" : timeLeft === undefined ? "" : `${clock(timeLeft)} left`
  return [...percent, size, rate === undefined ? "" : `${mebibytes(rate)} MiB/s`.padStart(10), left]
}

/** What an event says to somebody who reads lines. */
export const tell = (event: UploadEvent, now: number): string | undefined => {
  switch (event._tag) {
    case "Started":
      return `${event.filename}: ${event.total === undefined ? "a stream" : `${mebibytes(event.total)} MiB`}`
    case "Resumed":
      return `goes on after ${mebibytes(event.received)} MiB`
    case "Waiting":
      return `waits ${secondsUntil(event.until, now)} s ${reasons[event.reason]}`
    case "Retrying":
      return `${event.message}. Trying again`
    case "Completed":
      return `uploaded: ${event.video.assets?.player ?? event.video.videoId}`
    case "Progress":
      return undefined
  }
}
