/**
 * The error of an upload that cannot begin, or cannot go on, for a reason that lies with the file, an option or the journal.
 * What the server or the network answers stays the platform's own error.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * The file cannot be uploaded: it is empty, it is a directory, it is missing, or it cannot be read. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class SourceUnusable extends Schema.TaggedError<SourceUnusable>()("SourceUnusable", {
  /** Name of the file. */
  source: Schema.String,
  problem: Schema.Literals(["empty", "a directory", "missing", "unreadable"]),
  /** What the file system says, as `PermissionDenied`. */
  code: Schema.optional(Schema.String)
}) {
  readonly isRetryable = false
  override get message() {
    const code = this.code === undefined ? "" : ` (${this.code})`
    return `${this.source}: the file is ${this.problem}${code}. Choose a file with content that this program may read`
  }
}

/**
 * The file is not the one that the interrupted upload began with. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class SourceChanged extends Schema.TaggedError<SourceChanged>()("SourceChanged", {
  source: Schema.String,
  what: Schema.Literals(["size", "modification time", "content"])
}) {
  readonly isRetryable = false
  override get message() {
    return `${this.source}: the ${this.what} has changed since the upload began. Restore the file, or upload it anew with another journal`
  }
}

/**
 * An option makes no sense. Nothing was sent. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class OptionInvalid extends Schema.TaggedError<OptionInvalid>()("OptionInvalid", {
  option: Schema.String,
  problem: Schema.String
}) {
  readonly isRetryable = false
  override get message() {
    return `${this.option}: ${this.problem}`
  }
}

/**
 * The video has a source already. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class AlreadyUploaded extends Schema.TaggedError<AlreadyUploaded>()("AlreadyUploaded", {
  videoId: Schema.String
}) {
  readonly isRetryable = false
  override get message() {
    return `${this.videoId}: the video has a source already. Create another video for this file`
  }
}

/**
 * No byte was accepted for a while, and sending the part again did not help. Retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Stalled extends Schema.TaggedError<Stalled>()("Stalled", {
  source: Schema.String,
  /** Milliseconds without progress. */
  after: Schema.Finite
}) {
  readonly isRetryable = true
  override get message() {
    return `${this.source}: the upload stalled, no byte was accepted for ${this.after / 1_000} s. Check the network, then upload again with the same journal or videoId`
  }
}

/**
 * The journal cannot be read or written. Retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class JournalUnavailable extends Schema.TaggedError<JournalUnavailable>()("JournalUnavailable", {
  operation: Schema.Literals(["read", "write", "remove"])
}) {
  readonly isRetryable = true
  override get message() {
    return `the journal of uploads: cannot ${this.operation} it. Check the KeyValueStore in the option journal`
  }
}

/**
 * The platform documents no way to do this, so nothing was sent. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Unsupported extends Schema.TaggedError<Unsupported>()("Unsupported", {
  platform: Schema.String,
  /** The endpoint or the feature that is missing. */
  what: Schema.String,
  advice: Schema.String
}) {
  readonly isRetryable = false
  override get message() {
    return `${this.platform}: ${this.what} is not supported. ${this.advice}`
  }
}

/**
 * Why an upload failed.
 *
 * @category models
 * @since 0.1.0
 */
export const Reason = Schema.Union([
  SourceUnusable,
  SourceChanged,
  OptionInvalid,
  AlreadyUploaded,
  Stalled,
  JournalUnavailable,
  Unsupported
])

/** @since 0.1.0 */
export type Reason = typeof Reason.Type

/**
 * An upload that cannot begin or go on. Match on its `reason` with `Effect.catchReason`.
 *
 * @category errors
 * @since 0.1.0
 */
export class UploadError extends Schema.TaggedError<UploadError>()("UploadError", { reason: Reason }) {
  /** Whether uploading again may help. */
  get isRetryable(): boolean {
    return this.reason.isRetryable
  }
  override get message() {
    return this.reason.message
  }
}
