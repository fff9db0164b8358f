/** All operations but the two that return tokens, by module. */
import * as Analytics from "./routes/analytics.ts"
import * as Captions from "./routes/captions.ts"
import * as Chapters from "./routes/chapters.ts"
import * as LiveStreams from "./routes/liveStreams.ts"
import * as PlayerThemes from "./routes/playerThemes.ts"
import * as Summaries from "./routes/summaries.ts"
import * as Tags from "./routes/tags.ts"
import * as UploadTokens from "./routes/uploadTokens.ts"
import * as Videos from "./routes/videos.ts"
import * as Watermarks from "./routes/watermarks.ts"
import * as Webhooks from "./routes/webhooks.ts"

export {
  Analytics,
  Captions,
  Chapters,
  LiveStreams,
  PlayerThemes,
  Summaries,
  Tags,
  UploadTokens,
  Videos,
  Watermarks,
  Webhooks
}
