/** Answers of specs to typed operations: their types, and what runs them in place of requests. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Analytics from "../Analytics.ts"
import { ApiVideo, type ClientError } from "../ApiVideoClient.ts"
import type * as Captions from "../Captions.ts"
import type * as Chapters from "../Chapters.ts"
import type * as LiveStreams from "../LiveStreams.ts"
import type * as PlayerThemes from "../PlayerThemes.ts"
import type * as Summaries from "../Summaries.ts"
import type * as Tags from "../Tags.ts"
import type * as UploadTokens from "../UploadTokens.ts"
import type * as Videos from "../Videos.ts"
import type * as Watermarks from "../Watermarks.ts"
import type * as Webhooks from "../Webhooks.ts"
import { fieldIssuesOf } from "../shared/issues.ts"
import type { Route } from "../shared/route.ts"
import { register } from "./stubs.ts"

/** The operations of a module by name, each as a function of the same arguments that gives its result or an error. */
type Answers<Module, Name extends string> = {
  readonly [
    K in keyof Module & string as Module[K] extends (...args: never) => Effect.Effect<unknown, ClientError, ApiVideo>
      ? `${Name}.${K}`
      : never
  ]?:
    | (Module[K] extends (...args: infer Args) => Effect.Effect<infer A, ClientError, ApiVideo>
        ? (...args: Args) => A | Effect.Effect<A, ClientError>
        : never)
    | undefined
}

/**
 * What a spec answers, by operation: a function that gets the arguments of the call.
 *
 * @category options
 * @since 0.1.0
 */
export interface Operations
  extends
    Answers<typeof Analytics, "Analytics">,
    Answers<typeof Captions, "Captions">,
    Answers<typeof Chapters, "Chapters">,
    Answers<typeof LiveStreams, "LiveStreams">,
    Answers<typeof PlayerThemes, "PlayerThemes">,
    Answers<typeof Summaries, "Summaries">,
    Answers<typeof Tags, "Tags">,
    Answers<typeof UploadTokens, "UploadTokens">,
    Answers<typeof Videos, "Videos">,
    Answers<typeof Watermarks, "Watermarks">,
    Answers<typeof Webhooks, "Webhooks"> {}

/** An answer as JSON: the operation decodes it like a response. */
const toJson = (route: Route, answer: unknown): Effect.Effect<unknown> =>
  route.success === undefined
    ? Effect.void
    : Effect.catch(Schema.encodeUnknownEffect(route.success)(answer), ({ issue }) => {
        const wrong = fieldIssuesOf(issue).map(({ field, message }) => `${field}: ${message}`)
        return Effect.die(new Error(`${route.name}: the spec's answer is not a result of it: ${wrong.join("; ")}`))
      })

/** {@link Operations} says what the effects of answers fail with, and that they need nothing. */
const isEffect = (answer: unknown): answer is Effect.Effect<unknown, ClientError> => Effect.isEffect(answer)

/**
 * Gives a client the answers of a spec. An operation without one is requested if requests are answered as well; otherwise
 * it dies.
 */
export const layerAnswers = (operations: Operations, isRequested: boolean): Layer.Layer<never, never, ApiVideo> => {
  const answers = new Map<string, unknown>(Object.entries(operations))
  return Layer.effectDiscard(
    Effect.map(ApiVideo, (client) =>
      register(client, (route, given) => {
        const answer = answers.get(route.name)
        if (typeof answer === "function") {
          return Effect.suspend(() => {
            const result: unknown = Reflect.apply(answer, undefined, given)
            return Effect.flatMap(isEffect(result) ? result : Effect.succeed(result), (value) => toJson(route, value))
          })
        }
        return isRequested
          ? undefined
          : Effect.die(
              new Error(`${route.name}: the spec doesn't answer it. Add it to \`operations\` of ApiVideo.layerTest.`)
            )
      })
    )
  )
}
