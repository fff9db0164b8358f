/** What the processes of a fleet under test are told, and what they tell. */
import { Schema } from "effect"

/** Where the credential is shared. */
export const Store = Schema.Union([
  Schema.TaggedStruct("file", { directory: Schema.String }),
  Schema.TaggedStruct("redis", { url: Schema.String, prefix: Schema.String }),
  Schema.TaggedStruct("sql", { url: Schema.String, table: Schema.String })
])
export type Store = typeof Store.Type

/** The argument of `worker.ts`. Durations are milliseconds. */
export const Settings = Schema.fromJsonString(
  Schema.Struct({
    name: Schema.String,
    baseUrl: Schema.String,
    store: Store,
    encryptionKey: Schema.String,
    lease: Schema.Finite,
    beat: Schema.Finite,
    /** Between two requests. */
    pause: Schema.Finite,
    /** How long it waits after the lease was granted, before an exchange is sent, and after the response. */
    hesitation: Schema.Finite
  })
)
export type Settings = typeof Settings.Type

/** A line of a worker's output. */
export const Report = Schema.fromJsonString(
  Schema.Union([
    /** The API served a request, which was sent `at` this time: epoch milliseconds. */
    Schema.TaggedStruct("Served", { at: Schema.Finite }),
    Schema.TaggedStruct("Failed", { message: Schema.String }),
    /** The store granted the lease to this attempt; `over` is the attempt that had it. */
    Schema.TaggedStruct("Claimed", {
      identity: Schema.String,
      attempt: Schema.String,
      over: Schema.optional(Schema.String)
    }),
    /** The store granted an exchange. `sentBy` is the attempt that may have sent the stored refresh token before. */
    Schema.TaggedStruct("Sending", {
      attempt: Schema.String,
      kind: Schema.Literals(["login", "refresh"]),
      sentBy: Schema.optional(Schema.String)
    }),
    /** An exchange is about to leave. `isPrivate`: the store has not granted it. */
    Schema.TaggedStruct("Exchanging", { isPrivate: Schema.Boolean }),
    Schema.TaggedStruct("Renewed", {
      by: Schema.Literals(["login", "refresh", "adopted"]),
      generation: Schema.Int
    })
  ])
)
export type Report = typeof Report.Type

/** The argument of `crowdWorker.ts`. */
export const Crowd = Schema.fromJsonString(
  Schema.Struct({ store: Store, baseUrl: Schema.String, services: Schema.Int })
)

/** The output of `crowdWorker.ts`. */
export const CrowdReport = Schema.fromJsonString(
  Schema.Struct({
    tokens: Schema.Array(Schema.String),
    failures: Schema.Array(Schema.String),
    degraded: Schema.Int
  })
)
