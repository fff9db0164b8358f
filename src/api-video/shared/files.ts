/** Which files operations accept, as the OpenAPI file describes them. */
import type { FileRule } from "./route.ts"

/** The most that one request may carry (api.video, upload errors: `uploaded-file-too-large`). */
const largest = 200 * 1024 * 1024

/** The source of a video, or one part of it. */
export const source: FileRule = { maxSize: largest, name: "video.mp4" }

/** A thumbnail: JPEG, PNG or WebP of at most 8 MiB. */
export const thumbnail: FileRule = {
  maxSize: 8 * 1024 * 1024,
  name: "thumbnail.jpg",
  extensions: ["jpg", "jpeg", "png", "webp"]
}

/** A watermark: JPEG or PNG. */
export const watermark: FileRule = { maxSize: largest, name: "watermark.jpg", extensions: ["jpg", "jpeg", "png"] }

/** The logo of a player: JPEG or PNG of at most 100 KiB. */
export const logo: FileRule = { maxSize: 100 * 1024, name: "logo.jpg", extensions: ["jpg", "jpeg", "png"] }

/** Captions, as WebVTT. */
export const captions: FileRule = { maxSize: largest, name: "captions.vtt", extensions: ["vtt"] }

/** Chapters, as WebVTT. */
export const chapters: FileRule = { maxSize: largest, name: "chapters.vtt", extensions: ["vtt"] }
