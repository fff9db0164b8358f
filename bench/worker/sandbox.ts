/** Scenario 13: a sandbox with videos in a process of its own, which says how much CPU it has used. */
import { Context, Effect, Layer, Scope } from "effect"
import * as ApiVideoSandbox from "../../src/testing/ApiVideoSandbox.ts"
import { answer } from "./answer.ts"

/** Without `videos`, nothing is created. */
export interface Question {
  readonly videos?: number
}

export interface Answer {
  readonly url: string
  /** Seconds of CPU since the process started, those of the garbage collector included. */
  readonly cpu: number
}

const words = ["Maths", "Physics", "History", "Music", "Chemistry"]

/** Few words, so that a filter finds some videos and skips others. */
const video = (index: number) => ({
  title: `${words[index % words.length]} lesson ${index}`,
  description: `Lesson ${index % 40} of the course`,
  tags: [`course-${index % 20}`, `year-${index % 4}`],
  metadata: [{ key: "class", value: `class ${index % 50}` }]
})

const sandbox = await Effect.runPromise(
  Effect.map(
    Layer.buildWithScope(ApiVideoSandbox.layer({ rateLimits: ApiVideoSandbox.noRateLimits }), Scope.makeUnsafe()),
    Context.get(ApiVideoSandbox.ApiVideoSandbox)
  )
)

answer<Question, Answer>(async ({ videos = 0 }) => {
  if (videos > 0) {
    await Effect.runPromise(sandbox.seed({ videos: Array.from({ length: videos }, (_, index) => video(index)) }))
  }
  const { system, user } = process.cpuUsage()
  return { url: sandbox.url, cpu: (system + user) / 1e6 }
})
