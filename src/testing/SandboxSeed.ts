/**
 * Seeds: what a sandbox holds when it starts. A seed lists, by kind of resource, the bodies of the requests that create them.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { type Answer, isRecord, type Json, jsonOf, run } from "./SandboxRequest.ts"

/** Resources to create, by kind and in order: `{ "videos": [{ "title": "Maths video" }] }`. */
export type Seed = Readonly<Record<string, ReadonlyArray<Json>>>

/** What a seed created: under the same names, the responses. */
export type Planted = Readonly<Record<string, ReadonlyArray<unknown>>>

/** Creates one resource from the body of the request that creates it. The response says what became of it. */
export type Creator = (body: Json) => Effect.Effect<Answer> | Answer

/** A seed names a kind that the sandbox does not know, or the sandbox refuses one of its resources. Those before it exist. */
export class SeedRefused extends Data.TaggedError("SeedRefused")<{
  /** Which one, such as `videos[3]`. */
  readonly at: string
  readonly problem: string
}> {
  override get message() {
    return `${this.at}: ${this.problem}`
  }
}

const isText = (value: unknown): value is string => typeof value === "string" && value !== ""

/** The sentence of a refusal, and the field it is about. */
const problemOf = (status: number, body: unknown): string => {
  const { message, name, title } = isRecord(body) ? body : {}
  const text = [title, message].find(isText) ?? `refused with status ${status}`
  return isText(name) ? `${name}: ${text}` : text
}

/** Creates what a seed lists, one after the other. */
export const plant = Effect.fnUntraced(function* (creators: Readonly<Record<string, Creator>>, seed: Seed) {
  const planted: Record<string, ReadonlyArray<unknown>> = {}
  for (const [kind, bodies] of Object.entries(seed)) {
    const creator = Object.hasOwn(creators, kind) ? creators[kind] : undefined
    if (creator === undefined) {
      const known = Object.keys(creators).join(", ")
      return yield* new SeedRefused({ at: kind, problem: `no such resource. There are: ${known}` })
    }
    planted[kind] = yield* Effect.forEach(bodies, (body, index) =>
      Effect.flatMap(run(creator(body)), (answer) => {
        const json = jsonOf(answer)
        return answer.status < 400
          ? Effect.succeed(json ?? null)
          : Effect.fail(new SeedRefused({ at: `${kind}[${index}]`, problem: problemOf(answer.status, json) }))
      })
    )
  }
  return planted
})
