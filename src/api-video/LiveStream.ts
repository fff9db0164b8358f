/**
 * Live streams: what `LiveStreams` sends and returns.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { asset, Instant, pagingFields, pattern, secret, SecretInput, SortOrder } from "./shared/schema.ts"

/**
 * A place to which a live stream is sent on, such as YouTube.
 *
 * @category schemas
 * @since 0.1.0
 */
export class Restream
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<Restream>()(
      Schema.Struct({
        name: Schema.optional(Schema.String),
        /** URL of an RTMP or RTMPS server. */
        serverUrl: Schema.optional(Schema.String),
        /** Whoever has it can stream there. */
        streamKey: Schema.optional(secret("streamKey"))
      })
    ))()
{
  declare readonly name?: string | undefined
}

/**
 * A live stream. Only `liveStreamId` is certain to be there.
 *
 * @category schemas
 * @since 0.1.0
 */
export class LiveStream
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<LiveStream>()(
      Schema.Struct({
        liveStreamId: Schema.String,
        name: Schema.optional(Schema.String),
        /** Whoever has it can stream: the key for RTMP and SRT. */
        streamKey: Schema.optional(secret("streamKey")),
        public: Schema.optional(Schema.Boolean),
        assets: Schema.optional(
          Schema.Struct({
            /** The HLS manifest. */
            hls: Schema.optional(asset),
            /** HTML that embeds the player. */
            iframe: Schema.optional(asset),
            player: Schema.optional(asset),
            thumbnail: Schema.optional(asset)
          })
        ),
        playerId: Schema.optional(Schema.String),
        /** Whether it is being streamed now. */
        broadcasting: Schema.optional(Schema.Boolean),
        restreams: Schema.optional(Schema.Array(Restream)),
        createdAt: Schema.optional(Instant),
        updatedAt: Schema.optional(Instant)
      })
    ))()
{
  declare readonly liveStreamId: string
}

const editable = /* @__PURE__ */ (() => ({
  /** `false` makes the live stream private. */
  public: Schema.optional(Schema.Boolean),
  playerId: Schema.optional(Schema.String),
  /** At most five. The complete list: an update replaces the destinations. */
  restreams: Schema.optional(
    Schema.Array(
      Schema.Struct({
        name: Schema.String,
        serverUrl: pattern(/^rtmps?:\/\/\S+$/u, "an rtmp: or rtmps: URL"),
        streamKey: SecretInput
      })
    ).check(Schema.isMaxLength(5))
  )
}))()

/**
 * Input of `LiveStreams.create`.
 *
 * @category schemas
 * @since 0.1.0
 */
export class LiveStreamCreation
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<LiveStreamCreation>()(Schema.Struct({ name: Schema.String, ...editable })))()
{
  declare readonly name: string
}

/**
 * Input of `LiveStreams.update`. Fields that are left out stay as they are.
 *
 * @category schemas
 * @since 0.1.0
 */
export class LiveStreamUpdate
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<LiveStreamUpdate>()(Schema.Struct({ name: Schema.optional(Schema.String), ...editable })))()
{
  declare readonly name?: string | undefined
}

/**
 * Which live streams `LiveStreams.list` returns, in which order.
 *
 * @category schemas
 * @since 0.1.0
 */
export class LiveStreamQuery
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<LiveStreamQuery>()(
      Schema.Struct({
        streamKey: Schema.optional(SecretInput),
        /** The name or part of it. */
        name: Schema.optional(Schema.String),
        sortBy: Schema.optional(Schema.Literals(["name", "createdAt", "updatedAt"])),
        sortOrder: Schema.optional(SortOrder),
        ...pagingFields
      })
    ))()
{
  declare readonly name?: string | undefined
}
