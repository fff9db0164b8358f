/** All routes of the typed operations, and the documented responses, by `operationId`. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import type { Route } from "../../src/api-video/shared/route.ts"
import * as analytics from "../../src/api-video/shared/routes/analytics.ts"
import * as captions from "../../src/api-video/shared/routes/captions.ts"
import * as chapters from "../../src/api-video/shared/routes/chapters.ts"
import * as liveStreams from "../../src/api-video/shared/routes/liveStreams.ts"
import * as playerThemes from "../../src/api-video/shared/routes/playerThemes.ts"
import * as summaries from "../../src/api-video/shared/routes/summaries.ts"
import * as tags from "../../src/api-video/shared/routes/tags.ts"
import * as uploadTokens from "../../src/api-video/shared/routes/uploadTokens.ts"
import * as videos from "../../src/api-video/shared/routes/videos.ts"
import * as watermarks from "../../src/api-video/shared/routes/watermarks.ts"
import * as webhooks from "../../src/api-video/shared/routes/webhooks.ts"

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

const read = (...path: ReadonlyArray<string>) => JSON.parse(readFileSync(join(import.meta.dirname, ...path), "utf8"))

/** What `operations.json` says. */
export const matrix: {
  readonly operations: ReadonlyArray<{
    /** `operationId` in the OpenAPI file. */
    readonly id: string
    readonly method: string
    readonly path: string
    readonly function: string
    readonly paginated: boolean
    readonly tests: ReadonlyArray<string>
  }>
  readonly leftOut: ReadonlyArray<{
    readonly api: string
    readonly reason: string
    readonly routes: ReadonlyArray<string>
  }>
} = read("operations.json")

export const routeOf = (id: string): Route | undefined => {
  const operation = matrix.operations.find((operation) => operation.id === id)
  return routes.find(({ name }) => name === operation?.function)
}

/** An example of a response in api.video's OpenAPI file. */
export interface Example {
  readonly id: string
  readonly status: number
  readonly name: string
  readonly body: unknown
}

export const examples: ReadonlyArray<Example> = read("..", "fixtures", "api-video", "responses.json")

export const isSuccess = ({ status }: Example): boolean => status < 300
