/**
 * Sends a file in parts until a server has all of it.
 *
 * 1. The server says which bytes it has, where it can be asked; otherwise the journal does.
 * 2. What is missing is cut into parts, and `concurrency` of them are sent at a time.
 * 3. A part whose request failed is sent again, after a delay. Before that the server is asked whether it has the part: its
 *    response may have been lost.
 *
 * A stream of unknown length has numbered parts, which are held in memory until the server has them. How a part becomes a
 * request, and what an error means, is the platform's knowledge: see {@link Destination}.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { monotonic } from "../../../token/shared/time.ts"
import * as UploadError from "../../UploadError.ts"
import { OnWaiting, type WaitListener } from "../waits.ts"
import type { Measured } from "./progress.ts"
import { meter } from "./progress.ts"
import { type Cut, missing, notReceived, type Range, sizeOf } from "./ranges.ts"
import { type Delay, emitWaits, repeatedly, type Repetition, type Verdict } from "./repetition.ts"
import { refuse } from "./settings.ts"
import { type Content, pieces, sizeOf as bytesOf, type Source } from "./source.ts"

/** One part, for a request. */
export interface Part {
  readonly content: Content
  /** The bytes of a file whose size is known, or the number of a part, from 1; `total` once it is known. */
  readonly place:
    | { readonly _tag: "Bytes"; readonly range: Range; readonly total: number }
    | { readonly _tag: "Number"; readonly number: number; readonly total: number | undefined }
}

/** A server that takes parts. `A` is what it answers. */
export interface Destination<A, E, R> {
  readonly send: (part: Part) => Effect.Effect<A, E, R>
  readonly judge: (error: E) => Verdict
  /** The bytes that the server has; `undefined` if it can't be asked. */
  readonly received: Effect.Effect<ReadonlyArray<Range>, E, R> | undefined
}

/** What happens during an upload, before it is completed. */
export type Event =
  | ({ readonly _tag: "Progress"; readonly sent: number; readonly total: number | undefined } & Measured)
  | Delay
  | { readonly _tag: "Resumed"; readonly received: number; readonly total: number }

export interface Options extends Repetition {
  readonly mostParts: number
  readonly concurrency: number
  /** How long no byte may be accepted before a part is sent again, in milliseconds. */
  readonly stallTimeout: number
  readonly emit: (event: Event) => Effect.Effect<void>
}

/** Milliseconds between two reports of progress. */
const reportEvery = 250

/** A part that is read behind our back has this much longer for each of its bytes: 32 KiB a second. */
const slowest = 32

/** Counts the bytes of the parts under way, and of those that arrived. */
class Counter {
  /** Bytes that the server has. */
  arrived: number
  readonly #underWay = new Map<object, number>()

  constructor(arrived: number) {
    this.arrived = arrived
  }

  begin(attempt: object): void {
    this.#underWay.set(attempt, 0)
  }

  add(attempt: object, bytes: number): void {
    this.#underWay.set(attempt, (this.#underWay.get(attempt) ?? 0) + bytes)
  }

  end(attempt: object): void {
    this.#underWay.delete(attempt)
  }

  get sent(): number {
    let sent = this.arrived
    for (const bytes of this.#underWay.values()) sent += bytes
    return sent
  }
}

const stalled = (source: string, after: number) =>
  new UploadError.UploadError({ reason: new UploadError.Stalled({ source, after }) })

/**
 * Sends one part once. Its bytes are counted when the transport takes them. It fails with `Stalled` when the transport has
 * taken none, and no response has come, for `stallTimeout`. Time in which nothing is on the wire does not count: before the
 * first byte, and while the client waits for a rate limit.
 */
const sendOnce = <A, E, R>(
  { send }: Destination<A, E, R>,
  part: Part,
  source: string,
  counter: Counter,
  { emit, stallTimeout }: Options
): Effect.Effect<A, E | UploadError.UploadError, R> =>
  Effect.clockWith((clock) => {
    const attempt = {}
    const { content } = part
    // The runtime reads a Blob and bytes by itself, and doesn't say when.
    const isSeen = content._tag === "Stream"
    const allowed = isSeen ? stallTimeout : stallTimeout + bytesOf(content) / slowest
    let lastAt = isSeen ? undefined : monotonic(clock)
    const counted = (stream: Stream.Stream<Uint8Array, unknown>) =>
      Stream.suspend(() => {
        // The client may send the part a second time, with another token.
        counter.begin(attempt)
        lastAt = monotonic(clock)
        // Once for each read: an effect would cost more than all else that is done here.
        return Stream.map(stream, (bytes) => {
          lastAt = monotonic(clock)
          counter.add(attempt, bytes.byteLength)
          return bytes
        })
      })
    const onWaiting: WaitListener = (reason, millis) =>
      Effect.suspend(() => {
        if (isSeen) counter.begin(attempt)
        lastAt = isSeen ? undefined : monotonic(clock) + millis
        return emitWaits(emit)(reason, millis)
      })
    const watch: Effect.Effect<never, UploadError.UploadError> = Effect.suspend(() => {
      const idle = lastAt === undefined ? 0 : monotonic(clock) - lastAt
      return idle >= allowed
        ? Effect.fail(stalled(source, allowed))
        : Effect.andThen(Effect.sleep(Math.max(1, allowed - idle)), watch)
    })
    const sending = send(isSeen ? { ...part, content: { ...content, stream: counted(content.stream) } } : part)
    return Effect.ensuring(
      Effect.raceFirst(Effect.provideService(sending, OnWaiting, onWaiting), watch),
      Effect.sync(() => counter.end(attempt))
    )
  })

/**
 * Sends a part until the server has it: `once` at first, and `again` after a failure. Succeeds with `undefined` if the server
 * says that it has the part.
 */
const sendRepeatedly = <A, E, R>(
  { judge }: Destination<A, E, R>,
  once: Effect.Effect<A | undefined, E | UploadError.UploadError, R>,
  again: Effect.Effect<A | undefined, E | UploadError.UploadError, R>,
  options: Options
): Effect.Effect<A | undefined, E | UploadError.UploadError, R> => {
  const verdictOn = (error: E | UploadError.UploadError): Verdict =>
    error instanceof UploadError.UploadError
      ? { _tag: error.isRetryable ? "Again" : "Fatal", after: undefined }
      : judge(error)
  const unlessPresent = (attempt: typeof once) =>
    Effect.catchIf(
      attempt,
      (error) => verdictOn(error)._tag === "Present",
      () => Effect.succeed(undefined)
    )
  return repeatedly(verdictOn, unlessPresent(once), unlessPresent(again), options)
}

/** Emits the progress of an upload every 250 ms, for as long as it lasts, where there has been any. */
const reporting = <A, E, R>(
  upload: Effect.Effect<A, E, R>,
  counter: Counter,
  total: number | undefined,
  emit: Options["emit"]
): Effect.Effect<A, E, R> =>
  Effect.clockWith((clock) => {
    const measure = meter(total)
    let reported: number | undefined
    const report = Effect.suspend(() => {
      const { sent } = counter
      const measured = measure(monotonic(clock), sent)
      if (sent === reported) return Effect.void
      reported = sent
      return emit({ _tag: "Progress", sent, total, ...measured })
    })
    const reports = Effect.forever(Effect.andThen(report, Effect.sleep(reportEvery)))
    return Effect.ensuring(Effect.raceFirst(upload, reports), report)
  })

/** What is known before a file is sent. */
export interface Start {
  readonly cut: Omit<Cut, "total">
  /** Parts that the journal says have arrived. */
  readonly received: ReadonlyArray<Range>
  /** Notes in the journal that a part has arrived. */
  readonly note: (range: Range) => Effect.Effect<void, UploadError.UploadError>
}

/** Sends what a server does not have of a file. Returns the last answer, if a request was made at all. */
export const sendFile = <A, E, R>(
  destination: Destination<A, E, R>,
  source: Source,
  { cut, note, received }: Start,
  options: Options
): Effect.Effect<A | undefined, E | UploadError.UploadError, R> =>
  Effect.gen(function* () {
    const { place: name } = source
    const total = source.fingerprint.size
    const known = yield* destination.received ?? Effect.succeed(received)
    const counter = new Counter(sizeOf(known))
    if (counter.arrived > 0) yield* options.emit({ _tag: "Resumed", received: counter.arrived, total })
    let last: A | undefined

    const send = (range: Range): Effect.Effect<A, E | UploadError.UploadError, R> =>
      sendOnce(
        destination,
        { content: source.part(range), place: { _tag: "Bytes", range, total } },
        name,
        counter,
        options
      )
    /** Sends the rest of a part, if the server has not all of it. */
    const sendRest = (range: Range): Effect.Effect<A | undefined, E | UploadError.UploadError, R> =>
      destination.received === undefined
        ? send(range)
        : Effect.flatMap(destination.received, (present) =>
            Effect.reduce(
              notReceived(range, present),
              (): A | undefined => undefined,
              (_, rest) => send(rest)
            )
          )
    const arrived = (range: Range, answer: A | undefined) => {
      counter.arrived += range.to - range.from
      last = answer ?? last
      return note(range)
    }
    const sendAll = Effect.forEach(
      missing({ ...cut, total }, known),
      (range) =>
        Effect.flatMap(sendRepeatedly(destination, send(range), sendRest(range), options), (answer) =>
          arrived(range, answer)
        ),
      { concurrency: options.concurrency, discard: true }
    )
    yield* reporting(sendAll, counter, total, options.emit)
    return last
  })

const tooManyParts = (name: string, mostParts: number) =>
  refuse("chunkSize", `${name} has more than ${mostParts} parts of it. Use a larger one`)

/** Sends a stream in numbered parts. Returns the last answer; `undefined` for an empty stream. */
export const sendStream = <A, E, R, E2, R2>(
  destination: Destination<A, E, R>,
  stream: Stream.Stream<Uint8Array, E2, R2>,
  name: string,
  chunkSize: number,
  options: Options
): Effect.Effect<A | undefined, E | E2 | UploadError.UploadError, R | R2> =>
  Effect.suspend(() => {
    const counter = new Counter(0)
    let number = 0
    let last: A | undefined
    const sendAll = pieces(stream, chunkSize, options.concurrency + 1).pipe(
      // The next part is read while this one is sent.
      Stream.buffer({ capacity: 1 }),
      Stream.map((piece) => ({ ...piece, number: ++number })),
      Stream.mapEffect(
        ({ content, isLast, number, release }) => {
          if (number > options.mostParts) return tooManyParts(name, options.mostParts)
          const part: Part = {
            content,
            place: { _tag: "Number", number, total: isLast ? number : undefined }
          }
          const once = sendOnce(destination, part, name, counter, options)
          return Effect.flatMap(sendRepeatedly(destination, once, once, options), (answer) => {
            counter.arrived += bytesOf(content)
            last = answer ?? last
            return release
          })
        },
        { concurrency: options.concurrency }
      ),
      Stream.runDrain
    )
    return Effect.map(reporting(sendAll, counter, undefined, options.emit), () => last)
  })
