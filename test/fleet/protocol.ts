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
    /** Between two requests. */
    pause: Schema.Finite,
    /** How long it holds the lease before an exchange is sent, and after it was answered. */
    hesitation: Schema.Finite
  })
)
export type Settings = typeof Settings.Type

/** A line of a worker's output. */
export const Report = Schema.fromJsonString(
  Schema.Union([
    Schema.TaggedStruct("Served", {}),
    Schema.TaggedStruct("Failed", { message: Schema.String }),
    /** It holds the lease and is about to exchange. `at` is its own clock: milliseconds. */
    Schema.TaggedStruct("Exchanging", { at: Schema.Finite }),
    Schema.TaggedStruct("Renewed", {
      at: Schema.Finite,
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
