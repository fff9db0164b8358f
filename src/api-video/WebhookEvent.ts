/**
 * Events that api.video posts to webhooks, and why a delivery is refused: what `Webhooks.verify`, `Webhooks.decodeEvent`
 * and `Webhooks.handler` return.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Instant, open } from "./shared/schema.ts"

/** When the event happened. The examples of the OpenAPI file have an impossible date, so it may be missing. */
const emittedAt = /* @__PURE__ */ Schema.optional(Instant)

/**
 * A live stream started broadcasting (api.video OpenAPI, `x-webhooks`).
 *
 * @category events
 * @since 0.1.0
 */
export class LiveStreamBroadcastStarted
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<LiveStreamBroadcastStarted>()(
      Schema.Struct({
        type: Schema.Literal("live-stream.broadcast.started"),
        emittedAt,
        liveStreamId: Schema.String
      })
    ))() {}

/**
 * A live stream stopped broadcasting.
 *
 * @category events
 * @since 0.1.0
 */
export class LiveStreamBroadcastEnded
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<LiveStreamBroadcastEnded>()(
      Schema.Struct({
        type: Schema.Literal("live-stream.broadcast.ended"),
        emittedAt,
        liveStreamId: Schema.String
      })
    ))() {}

/**
 * The recording of a live stream is ready to be encoded.
 *
 * @category events
 * @since 0.1.0
 */
export class VideoSourceRecorded
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<VideoSourceRecorded>()(
      Schema.Struct({
        type: Schema.Literal("video.source.recorded"),
        emittedAt,
        videoId: Schema.String,
        liveStreamId: Schema.optional(Schema.String)
      })
    ))() {}

/**
 * A quality of a video is encoded.
 *
 * @category events
 * @since 0.1.0
 */
export class VideoEncodingQualityCompleted
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<VideoEncodingQualityCompleted>()(
      Schema.Struct({
        type: Schema.Literal("video.encoding.quality.completed"),
        emittedAt,
        videoId: Schema.String,
        /** Set if the video is the recording of a live stream. */
        liveStreamId: Schema.optional(Schema.String),
        encoding: Schema.optional(open("hls", "mp4")),
        quality: Schema.optional(open("240p", "360p", "480p", "720p", "1080p", "2160p"))
      })
    ))() {}

/**
 * A caption was generated.
 *
 * @category events
 * @since 0.1.0
 */
export class VideoCaptionGenerated
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<VideoCaptionGenerated>()(
      Schema.Struct({
        type: Schema.Literal("video.caption.generated"),
        emittedAt,
        videoId: Schema.String,
        captionId: Schema.optional(Schema.String),
        generationMode: Schema.optional(open("transcript")),
        /** IETF language tag. */
        language: Schema.optional(Schema.String)
      })
    ))() {}

/**
 * A summary was generated.
 *
 * @category events
 * @since 0.1.0
 */
export class VideoSummaryGenerated
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<VideoSummaryGenerated>()(
      Schema.Struct({
        type: Schema.Literal("video.summary.generated"),
        emittedAt,
        videoId: Schema.String,
        summaryId: Schema.optional(Schema.String)
      })
    ))() {}

/**
 * An event of a kind that this version does not know. `type` is a constant, so that the other kinds narrow by theirs.
 *
 * @category events
 * @since 0.1.0
 */
export interface UnknownEvent {
  readonly type: "unknown"
  /** The `type` of the event. */
  readonly name: string
  /** The whole event. */
  readonly payload: Readonly<Record<string, unknown>>
}

/**
 * An event, told apart by `type`.
 *
 * @category events
 * @since 0.1.0
 */
export type WebhookEvent =
  | LiveStreamBroadcastStarted
  | LiveStreamBroadcastEnded
  | VideoSourceRecorded
  | VideoEncodingQualityCompleted
  | VideoCaptionGenerated
  | VideoSummaryGenerated
  | UnknownEvent

/**
 * The delivery has no signature, or one that the secret does not make. Somebody else sent it, or the secret belongs to
 * another webhook.
 *
 * @category errors
 * @since 0.1.0
 */
export class SignatureInvalid extends Schema.TaggedError<SignatureInvalid>()("SignatureInvalid", {
  problem: Schema.Literals(["missing", "wrong"])
}) {
  override get message() {
    return `X-Api-Video-Signature: the signature is ${this.problem}. Check that the secret is the signatureSecret of this webhook, and that the body is the raw one`
  }
}

/**
 * The body of a delivery is not an event.
 *
 * @category errors
 * @since 0.1.0
 */
export class EventMalformed extends Schema.TaggedError<EventMalformed>()("EventMalformed", {
  /** Which field is wrong, and what was expected, without its value. */
  problem: Schema.String
}) {
  override get message() {
    return `the body of the webhook is not an event: ${this.problem}`
  }
}
