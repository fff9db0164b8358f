/**
 * Chapters of videos: what `Chapters` returns.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { pagingFields } from "./shared/schema.ts"

/**
 * The chapters of a video in one language.
 *
 * @category schemas
 * @since 0.1.0
 */
export class Chapter
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<Chapter>()(
      Schema.Struct({
        /** BCP 47 tag of the language, such as `fr`. */
        language: Schema.String,
        /** Path of the chapters in the API. */
        uri: Schema.optional(Schema.String),
        /** URL of the VTT file. */
        src: Schema.optional(Schema.String)
      })
    ))()
{
  declare readonly language: string
}

/**
 * Which page of chapters `Chapters.list` returns.
 *
 * @category schemas
 * @since 0.1.0
 */
export class ChapterQuery extends /* @__PURE__ */ (() => Schema.Opaque<ChapterQuery>()(Schema.Struct(pagingFields)))() {
  declare readonly currentPage?: number | undefined
}
