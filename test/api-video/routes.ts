/** All routes of the typed operations, and the documented responses, by `operationId`. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import type { Route } from "../../src/api-video/internal/route.ts"
import * as analytics from "../../src/api-video/internal/routes/analytics.ts"
import * as captions from "../../src/api-video/internal/routes/captions.ts"
import * as chapters from "../../src/api-video/internal/routes/chapters.ts"
import * as liveStreams from "../../src/api-video/internal/routes/liveStreams.ts"
import * as playerThemes from "../../src/api-video/internal/routes/playerThemes.ts"
import * as summaries from "../../src/api-video/internal/routes/summaries.ts"
import * as tags from "../../src/api-video/internal/routes/tags.ts"
import * as uploadTokens from "../../src/api-video/internal/routes/uploadTokens.ts"
import * as videos from "../../src/api-video/internal/routes/videos.ts"
import * as watermarks from "../../src/api-video/internal/routes/watermarks.ts"
import * as webhooks from "../../src/api-video/internal/routes/webhooks.ts"

const groups: ReadonlyArray<Readonly<Record<string, Route>>> = [
  analytics,
  captions,
  chapters,
  liveStreams,
  playerThemes,
  summaries,
  tags,
  uploadTokens,
  videos,
  watermarks,
  webhooks
]

export const routes: ReadonlyArray<Route> = groups.flatMap((group) => Object.values(group))

export const routeOf = (id: string): Route | undefined => routes.find((route) => route.id === id)

/** An example of a response in api.video's OpenAPI file. */
export interface Example {
  readonly id: string
  readonly status: number
  readonly name: string
  readonly body: unknown
}

export const examples: ReadonlyArray<Example> = JSON.parse(
  readFileSync(join(import.meta.dirname, "..", "fixtures", "api-video", "responses.json"), "utf8")
)

export const isSuccess = ({ status }: Example): boolean => status < 300
