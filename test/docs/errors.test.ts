/** The page on errors lists what a client can fail with, and every reason, and nothing else. */
import { assert, it } from "@effect/vitest"
import type { HttpClientError } from "effect/http"
import { type ApiVideo, type MovingImage, TokenError } from "effect-video-auth"
import { ApiVideoError } from "effect-video-auth/api-video"
import { MovingImageError } from "effect-video-auth/moving-image"
import { readFileSync } from "node:fs"

const page = readFileSync(new URL("../../docs/errors.md", import.meta.url), "utf8")

/** The part of the page under a heading. */
const section = (heading: string): string => page.split(`\n## ${heading}\n`)[1]?.split("\n## ")[0] ?? ""

/** Names in the first column of a table. */
const firstColumn = (text: string): ReadonlyArray<string> =>
  text
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .flatMap((line) => [...(line.split("|")[1] ?? "").matchAll(/`(\w+)`/g)].map(([, name = ""]) => name))

const tagsOf = (members: ReadonlyArray<{ readonly identifier: string }>) => members.map(({ identifier }) => identifier)

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(..._proof: Same<A, B> extends true ? [] : ["these types differ", A, B]): void => {}

it("lists the errors of a client, which are its type", () => {
  same<ApiVideo.ClientError["_tag"], "ApiVideoError" | "TokenError" | "HttpClientError">()
  same<MovingImage.ClientError["_tag"], "MovingImageError" | "TokenError" | "HttpClientError">()
  same<Extract<ApiVideo.ClientError, { readonly _tag: "HttpClientError" }>, HttpClientError.HttpClientError>()
  const errors = firstColumn(page.split("\n## ")[0] ?? "").filter((name) => name.endsWith("Error"))
  assert.deepStrictEqual(
    new Set(errors),
    new Set(["TokenError", "ApiVideoError", "MovingImageError", "HttpClientError"])
  )
})

it("lists the reasons of an ApiVideoError", () => {
  const text = section("ApiVideoError")
  const operations = [...text.matchAll(/`(InvalidInput|MalformedResponse)`/g)].map(([, name = ""]) => name)
  assert.sameMembers([...new Set([...firstColumn(text), ...operations])], tagsOf(ApiVideoError.Reason.members))
})

it("says how the reasons of a MovingImageError differ", () => {
  assert.include(
    section("MovingImageError"),
    "`UnsupportedMediaType` (415) instead of `MethodNotAllowed` and `Conflict`"
  )
  const ofResponses = firstColumn(section("ApiVideoError")).filter(
    (name) => !/^(MethodNotAllowed|Conflict)$/.test(name)
  )
  assert.sameMembers([...ofResponses, "UnsupportedMediaType"], tagsOf(MovingImageError.Reason.members))
})

it("lists the reasons of a TokenError", () => {
  const text = section("TokenError").split("\n### ")[0] ?? ""
  assert.sameMembers(
    [...firstColumn(text)].filter((name) => /^[A-Z]/.test(name)),
    tagsOf(TokenError.Reason.members)
  )
})
