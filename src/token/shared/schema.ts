/** Schemas that several modules share. */
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as SchemaTransformation from "effect/SchemaTransformation"

/** A secret in memory. It has no encoding: writing one out must be done on purpose. */
export const Secret: Schema.declare<Redacted.Redacted> = Schema.declare(
  (u): u is Redacted.Redacted => Redacted.isRedacted(u) && typeof Redacted.value(u) === "string",
  { expected: "a redacted string" }
)

/** An optional secret that is left out wherever its owner is written, such as to JSON or over RPC. */
export const MemoryOnly = Schema.optional(Schema.Undefined).pipe(
  Schema.decodeTo(Schema.optional(Secret), { decode: SchemaGetter.omit(), encode: SchemaGetter.omit() })
)

/** A duration, in milliseconds where it is encoded. */
export const Millis = Schema.Finite.pipe(
  Schema.decodeTo(
    Schema.Duration,
    SchemaTransformation.transform({ decode: Duration.millis, encode: Duration.toMillis })
  )
)
