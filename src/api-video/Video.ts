/**
 * Videos: what `Videos` sends and returns.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { asset, between, Instant, open, pagingFields, pattern, SortOrder } from "./shared/schema.ts"

/**
 * A key and a value that describe a video.
 *
 * @category schemas
 * @since 0.1.0
 */
export class Metadata
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<Metadata>()(
      Schema.Struct({ key: Schema.optional(Schema.String), value: Schema.optional(Schema.String) })
    ))()
{
  declare readonly key?: string | undefined
}

/**
 * Where a video comes from.
 *
 * @category schemas
 * @since 0.1.0
 */
export class VideoSource
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<VideoSource>()(
      Schema.Struct({
        uri: Schema.optional(Schema.String),
        type: Schema.optional(Schema.String),
        /** Set if the video is the recording of a live stream. */
        liveStream: Schema.optional(
          Schema.Struct({
            liveStreamId: Schema.optional(Schema.String),
            links: Schema.optional(
              Schema.Array(Schema.Struct({ rel: Schema.optional(Schema.String), uri: Schema.optional(Schema.String) }))
            )
          })
        )
      })
    ))()
{
  declare readonly uri?: string | undefined
}

/**
 * URLs of a video and its player. Those of a private video have a token that works once, so they are redacted;
 * `PrivateVideos.session` makes URLs that last.
 *
 * @category schemas
 * @since 0.1.0
 */
export class VideoAssets
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<VideoAssets>()(
      Schema.Struct({
        /** The HLS manifest. */
        hls: Schema.optional(asset),
        /** HTML that embeds the player. */
        iframe: Schema.optional(asset),
        player: Schema.optional(asset),
        thumbnail: Schema.optional(asset),
        /** Missing unless `mp4Support` is on. */
        mp4: Schema.optional(asset)
      })
    ))()
{
  declare readonly hls?: string | Redacted.Redacted | undefined
}

/**
 * A video. Only `videoId` is certain to be there.
 *
 * @category schemas
 * @since 0.1.0
 */
export class Video
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<Video>()(
      Schema.Struct({
        videoId: Schema.String,
        createdAt: Schema.optional(Instant),
        title: Schema.optional(Schema.String),
        description: Schema.optional(Schema.String),
        publishedAt: Schema.optional(Instant),
        updatedAt: Schema.optional(Instant),
        /** When the video was discarded, where Video Restore is enabled. */
        discardedAt: Schema.optional(Instant),
        /** When a discarded video will be deleted for good: 90 days after it was discarded. */
        deletesAt: Schema.optional(Instant),
        discarded: Schema.optional(Schema.Boolean),
        /** IETF tag of the language that is spoken. */
        language: Schema.optional(Schema.String),
        /** Whether a request or the API itself set `language`. */
        languageOrigin: Schema.optional(open("api", "auto")),
        tags: Schema.optional(Schema.Array(Schema.String)),
        metadata: Schema.optional(Schema.Array(Metadata)),
        source: Schema.optional(VideoSource),
        assets: Schema.optional(VideoAssets),
        playerId: Schema.optional(Schema.String),
        public: Schema.optional(Schema.Boolean),
        /** Whether it is a 360-degree video. */
        panoramic: Schema.optional(Schema.Boolean),
        mp4Support: Schema.optional(Schema.Boolean)
      })
    ))()
{
  declare readonly videoId: string
}

/**
 * Bytes of the source that have arrived. `to` is the last of them.
 *
 * @category schemas
 * @since 0.1.0
 */
export class BytesRange
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<BytesRange>()(
      Schema.Struct({
        from: Schema.optional(Schema.Finite),
        to: Schema.optional(Schema.Finite),
        total: Schema.optional(Schema.Finite)
      })
    ))()
{
  declare readonly from?: number | undefined
}

/**
 * How far the upload and the encoding of a video are.
 *
 * @category schemas
 * @since 0.1.0
 */
export class VideoStatus
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<VideoStatus>()(
      Schema.Struct({
        ingest: Schema.optional(
          Schema.Struct({
            status: Schema.optional(open("uploading", "uploaded", "ingesting", "ingested")),
            /** Size of the source in bytes, once it is known. */
            filesize: Schema.optional(Schema.Finite),
            /** Set while the source is uploaded by byte ranges. */
            receivedBytes: Schema.optional(Schema.Array(BytesRange)),
            /** Set while the source is uploaded by parts; `total` once it is known. */
            receivedParts: Schema.optional(
              Schema.Struct({
                parts: Schema.optional(Schema.Array(Schema.Finite)),
                total: Schema.optional(Schema.Finite)
              })
            )
          })
        ),
        encoding: Schema.optional(
          Schema.Struct({
            playable: Schema.optional(Schema.Boolean),
            qualities: Schema.optional(
              Schema.Array(
                Schema.Struct({
                  type: Schema.optional(open("hls", "mp4")),
                  quality: Schema.optional(open("240p", "360p", "480p", "720p", "1080p", "2160p")),
                  status: Schema.optional(open("waiting", "encoding", "encoded", "failed"))
                })
              )
            ),
            metadata: Schema.optional(
              Schema.Struct({
                /** In pixels, as `height`. */
                width: Schema.optional(Schema.Finite),
                height: Schema.optional(Schema.Finite),
                bitrate: Schema.optional(Schema.Finite),
                /** In seconds. */
                duration: Schema.optional(Schema.Finite),
                /** Frames per second. */
                framerate: Schema.optional(Schema.Finite),
                /** In hertz. */
                samplerate: Schema.optional(Schema.Finite),
                videoCodec: Schema.optional(Schema.String),
                audioCodec: Schema.optional(Schema.String),
                aspectRatio: Schema.optional(Schema.String)
              })
            )
          })
        )
      })
    ))() {}

/**
 * A video that cannot be played, because all of its qualities failed to be encoded. Not retryable: upload another file.
 *
 * @category errors
 * @since 0.1.0
 */
export class EncodingFailed extends Schema.TaggedError<EncodingFailed>()("EncodingFailed", { videoId: Schema.String }) {
  readonly isRetryable = false
  override get message() {
    return `${this.videoId}: api.video could not encode the source. Check that the file is a video, then upload it to another videoId`
  }
}

/**
 * Languages that api.video transcribes. The OpenAPI file has `no` without quotes, which YAML 1.1 reads as `false`.
 */
const Language = /* @__PURE__ */ (() =>
  Schema.Literals([
    ...([
      "ar",
      "ca",
      "cs",
      "da",
      "de",
      "el",
      "en",
      "es",
      "fa",
      "fi",
      "fr",
      "he",
      "hi",
      "hr",
      "hu",
      "it",
      "ja"
    ] as const),
    ...(["ko", "ml", "nl", "nn", "no", "pl", "pt", "ru", "sk", "sl", "te", "tr", "uk", "ur", "vi", "zh"] as const)
  ]))()

const ClipTimecode = /* @__PURE__ */ (() =>
  pattern(
    /^(?:\d{2,3}:[0-5]\d:[0-5]\d(?:\.\d{1,3}|:\d{1,2})?|\d{1,7})$/u,
    "a timecode such as 00:01:15, 00:01:15.250, 00:01:15:12 (a frame) or 75 (seconds)"
  ))()

/** What creating and updating a video have in common. */
const editable = /* @__PURE__ */ (() => ({
  description: Schema.optional(Schema.String),
  /** `false` makes the video private. */
  public: Schema.optional(Schema.Boolean),
  panoramic: Schema.optional(Schema.Boolean),
  mp4Support: Schema.optional(Schema.Boolean),
  playerId: Schema.optional(Schema.String),
  /** The complete list: an update replaces the tags. */
  tags: Schema.optional(Schema.Array(Schema.String)),
  /** The complete list: an update replaces the metadata. */
  metadata: Schema.optional(Schema.Array(Schema.Struct({ key: Schema.String, value: Schema.String }))),
  /** Spoken language. Setting it transcribes the video; `null` unsets it. */
  language: Schema.optional(Schema.NullOr(Language)),
  transcript: Schema.optional(Schema.Boolean),
  transcriptSummary: Schema.optional(Schema.Boolean),
  /** @default both */
  transcriptSummaryAttributes: Schema.optional(Schema.Array(Schema.Literals(["abstract", "takeaways"])))
}))()

/**
 * Input of `Videos.create`.
 *
 * @category schemas
 * @since 0.1.0
 */
export class VideoCreation
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<VideoCreation>()(
      Schema.Struct({
        title: Schema.String,
        /** URL of a video on the web, or `videoId` of one to copy. Leave it out to upload the source. */
        source: Schema.optional(Schema.String),
        ...editable,
        /** The part of the source that becomes the video. It cannot be changed later. */
        clip: Schema.optional(
          Schema.Struct({
            startTimecode: Schema.optional(ClipTimecode),
            endTimecode: Schema.optional(ClipTimecode)
          })
        ),
        /** Distances are in `px` or `%`, sizes as well or `initial`, the opacity in `%`. It cannot be changed later. */
        watermark: Schema.optional(
          Schema.Struct({
            /** A `watermarkId`. */
            id: Schema.optional(Schema.String),
            top: Schema.optional(Schema.String),
            left: Schema.optional(Schema.String),
            bottom: Schema.optional(Schema.String),
            right: Schema.optional(Schema.String),
            width: Schema.optional(Schema.String),
            height: Schema.optional(Schema.String),
            opacity: Schema.optional(Schema.String)
          })
        )
      })
    ))()
{
  declare readonly title: string
}

/**
 * Input of `Videos.update`. Fields that are left out stay as they are.
 *
 * @category schemas
 * @since 0.1.0
 */
export class VideoUpdate
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<VideoUpdate>()(Schema.Struct({ title: Schema.optional(Schema.String), ...editable })))()
{
  declare readonly title?: string | undefined
}

/**
 * Which videos `Videos.list` returns, in which order.
 *
 * @category schemas
 * @since 0.1.0
 */
export class VideoQuery
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<VideoQuery>()(
      Schema.Struct({
        /** Part of the title. */
        title: Schema.optional(Schema.String),
        /** Tags that a video must all have. */
        tags: Schema.optional(Schema.Array(Schema.String)),
        /** Metadata that a video must have, by key. */
        metadata: Schema.optional(Schema.Record(Schema.String, Schema.String)),
        description: Schema.optional(Schema.String),
        /** The live stream of which a video is a recording. */
        liveStreamId: Schema.optional(Schema.String),
        sortBy: Schema.optional(Schema.Literals(["title", "createdAt", "publishedAt", "updatedAt"])),
        sortOrder: Schema.optional(SortOrder),
        ...pagingFields
      })
    ))()
{
  declare readonly title?: string | undefined
}

/**
 * The frame that becomes the thumbnail: `hh:mm:ss.ms`, `hh:mm:ss:frame`, or seconds. The pattern in the OpenAPI file has
 * only the first form; its text has all three.
 *
 * @category schemas
 * @since 0.1.0
 */
export class ThumbnailPick
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<ThumbnailPick>()(
      Schema.Struct({
        timecode: pattern(
          /^(?:\d{2}:\d{2}:\d{2}(?:\.\d{1,3}|:\d+)?|\d+)$/u,
          "a timecode such as 00:01:15.250, 00:01:15:12 (a frame) or 75 (seconds)"
        )
      })
    ))()
{
  declare readonly timecode: string
}

/**
 * Input of `Videos.restore`: the API accepts only `false`.
 *
 * @category schemas
 * @since 0.1.0
 */
export class DiscardedVideoUpdate
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<DiscardedVideoUpdate>()(Schema.Struct({ discarded: Schema.Literal(false) })))()
{
  declare readonly discarded: false
}

/** The largest source, in bytes (api.video, upload errors: `range-total-bytes-too-high`). */
const largest = 52_428_800_000

/**
 * Which part of a source a request carries: bytes, the last one included, or a part of a number of parts. While the
 * number of parts is unknown, leave out `total`; the last part has its own number as the total. One source can't mix
 * bytes and parts.
 *
 * @category schemas
 * @since 0.1.0
 */
export const UploadRange = /* @__PURE__ */ (() =>
  Schema.Union([
    Schema.Struct({
      from: between(0, largest - 1),
      to: between(0, largest - 1),
      total: between(1, largest)
    }).check(Schema.makeFilter(({ from, to, total }) => from <= to && to < total, { expected: "from ≤ to < total" })),
    Schema.Struct({ part: between(1, 10_000), total: Schema.optional(between(1, 10_000)) }).check(
      Schema.makeFilter(({ part, total }) => total === undefined || part <= total, { expected: "part ≤ total" })
    )
  ]))()

/** @since 0.1.0 */
export type UploadRange = typeof UploadRange.Type

const rangeForm = /^(?:bytes (\d+)-(\d+)\/(\d+)|part (\d+)\/(?:(\d+)|\*))$/

/**
 * An {@link UploadRange} as the header `Content-Range`: `bytes 0-9/10`, `part 1/3`, or `part 1/*`. The patterns in the
 * OpenAPI file are no help: one never matches, and the other has no parts.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ContentRange = /* @__PURE__ */ (() =>
  Schema.String.pipe(
    Schema.decodeTo(
      UploadRange,
      SchemaTransformation.transformEffect<UploadRange, string>({
        decode: (text, options) => {
          const [, from, to, length, part, parts] = rangeForm.exec(text) ?? []
          return part !== undefined
            ? Effect.succeed({ part: Number(part), total: parts === undefined ? undefined : Number(parts) })
            : length !== undefined
              ? Effect.succeed({ from: Number(from), to: Number(to), total: Number(length) })
              : Effect.fail(new SchemaIssue.InvalidValue({ expected: "a range of bytes or parts" }, text, options))
        },
        encode: (range) =>
          Effect.succeed(
            "part" in range
              ? `part ${range.part}/${range.total ?? "*"}`
              : `bytes ${range.from}-${range.to}/${range.total}`
          )
      })
    )
  ))()
