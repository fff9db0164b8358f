/** Remembers an upload in a `KeyValueStore`, so that another run of the program can go on with it. */
import * as Effect from "effect/Effect"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as UploadError from "../../UploadError.ts"

/** What is remembered of one upload. */
const Entry = Schema.Struct({
  /** Counts the writes. Of two copies the later one counts. */
  revision: Schema.Int,
  size: Schema.Finite,
  /** Bytes of a part. Where the server cannot be asked, a part in doubt must be the same one when it is sent again. */
  chunkSize: Schema.Finite,
  modifiedAt: Schema.optionalKey(Schema.Finite),
  hash: Schema.optionalKey(Schema.String),
  /** Identifies the creation of the video, so that it is found if the response to it was lost. */
  uploadId: Schema.String,
  videoId: Schema.optionalKey(Schema.String),
  /** Parts that the server has acknowledged, for servers that cannot be asked. */
  received: Schema.Array(Schema.Struct({ from: Schema.Finite, to: Schema.Finite }))
})

/** @see Entry */
export type Entry = Omit<typeof Entry.Type, "revision">

export interface Journal {
  readonly read: Effect.Effect<Entry | undefined, UploadError.UploadError>
  readonly write: (entry: Entry) => Effect.Effect<void, UploadError.UploadError>
  readonly remove: Effect.Effect<void, UploadError.UploadError>
}

const unavailable = (operation: UploadError.JournalUnavailable["operation"]) =>
  Effect.mapError(() => new UploadError.UploadError({ reason: new UploadError.JournalUnavailable({ operation }) }))

/**
 * The journal of one upload. A process can be killed while it writes, and a file that was half written cannot be read: so
 * two copies are written in turn, and one of them is always whole.
 */
export const make = (store: KeyValueStore.KeyValueStore, key: string): Journal => {
  const entries = KeyValueStore.toSchemaStore(store, Entry)
  const keys = [`effect-video-auth/upload/${key}/a`, `effect-video-auth/upload/${key}/b`] as const
  let revision = 0
  const readCopy = (copy: string) =>
    Effect.catchTag(entries.get(copy), "SchemaError", () => Effect.succeed(Option.none<typeof Entry.Type>()))
  return {
    read: Effect.gen(function* () {
      const copies = yield* Effect.forEach(keys, readCopy)
      const latest = copies
        .flatMap(Option.toArray)
        .reduce<typeof Entry.Type | undefined>(
          (best, copy) => (best === undefined || copy.revision > best.revision ? copy : best),
          undefined
        )
      revision = latest?.revision ?? 0
      return latest
    }).pipe(unavailable("read")),
    write: (entry) =>
      Effect.suspend(() => {
        revision += 1
        return entries.set(keys[revision % 2 === 0 ? 0 : 1], { ...entry, revision })
      }).pipe(unavailable("write")),
    remove: Effect.forEach(keys, entries.remove, { discard: true }).pipe(unavailable("remove"))
  }
}

/** Keeps nothing beyond this run. */
export const none: Journal = { read: Effect.succeed(undefined), write: () => Effect.void, remove: Effect.void }
