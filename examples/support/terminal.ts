/** Shows an upload: as a bar in a terminal, and as lines elsewhere. */
import { Duration, Effect, Stream } from "effect"
import type { UploadEvent } from "effect-video-auth/api-video"
import { styleText } from "node:util"
import { describe, nothing, shareOf, type State, tell, update } from "./progress.ts"

/** The state in one line of a terminal with so many columns. */
export const line = (state: State, columns: number, now: number): string => {
  const { filename, wait } = state
  const name = filename.length > 24 ? `${filename.slice(0, 23)}…` : filename
  const words = describe(state, now).join("  ").trimEnd()
  const width = Math.max(0, Math.min(40, columns - name.length - words.length - 4))
  const filled = Math.round(width * (shareOf(state) ?? 0))
  const bar = styleText(wait === undefined ? "green" : "yellow", "━".repeat(filled))
  return `${name}  ${bar}${styleText("dim", "─".repeat(width - filled))}  ${words}`
}

const write = (text: string) => Effect.sync(() => void process.stdout.write(text))

/** Shows what happens until the upload ends. */
export const show = <E, R>(events: Stream.Stream<UploadEvent, E, R>): Effect.Effect<void, E, R> => {
  const { stdout } = process
  const erase = "\r\u001B[K"
  let state = nothing
  const draw = Effect.suspend(() =>
    state === nothing ? Effect.void : write(erase + line(state, stdout.columns, Date.now()))
  )
  const hear = (event: UploadEvent) =>
    Effect.suspend(() => {
      state = update(state, event)
      const told = tell(event, Date.now())
      if (!stdout.isTTY) return told === undefined ? Effect.void : write(`${told}\n`)
      // In the bar, a wait counts down; everything else that happens stays above it.
      const stays = told !== undefined && event._tag !== "Waiting" && event._tag !== "Started"
      if (event._tag === "Completed") return Effect.andThen(draw, write(`\n${told}\n`))
      return Effect.andThen(stays ? write(`${erase}${told}\n`) : Effect.void, draw)
    })
  const countdown = Stream.tick(Duration.seconds(1)).pipe(Stream.mapEffect(() => (stdout.isTTY ? draw : Effect.void)))
  // What is said about the interruption begins on a line of its own.
  if (stdout.isTTY) process.prependOnceListener("SIGINT", () => stdout.write("\n"))
  return Stream.mapEffect(events, hear).pipe(Stream.merge(countdown, { haltStrategy: "left" }), Stream.runDrain)
}
