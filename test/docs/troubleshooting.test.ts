/** docs/troubleshooting.md has an entry for every reason of every error, with its statuses and the words of its message. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Redacted } from "effect"
import { HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
import { ApiVideo, MovingImage, TokenError } from "effect-video-auth"
import { ApiVideoError, UploadError } from "effect-video-auth/api-video"
import { MovingImageError } from "effect-video-auth/moving-image"
import * as RecordingHttpClient from "effect-video-auth/testing/RecordingHttpClient"
import { readFileSync } from "node:fs"
import { join } from "node:path"

const page = readFileSync(join(import.meta.dirname, "..", "..", "docs", "troubleshooting.md"), "utf8")

interface Entry {
  /** Words of the message, in order. */
  readonly words: ReadonlyArray<string>
  readonly error: string
  readonly reason: string
  /** Statuses such as `404` or `5xx`, and kinds of failure such as `connect`. */
  readonly causes: ReadonlyArray<string>
  readonly text: string
}

/** One entry for each line such as "`TokenError` · `RateLimited` · 429" below a heading. */
const entries: ReadonlyArray<Entry> = page
  .split(/^### /m)
  .slice(1)
  .flatMap((section) => {
    const [heading = "", ...lines] = section.split("\n")
    const text = lines.join("\n")
    return lines.flatMap((line) => {
      const [, error, reason, causes = ""] = /^`(\w+)` · `(\w+)`(?: · (.+?))?\\?$/.exec(line) ?? []
      const words = heading.split("…").map((part) => part.trim())
      return error === undefined || reason === undefined
        ? []
        : [{ words, error, reason, text, causes: causes.split(", ") }]
    })
  })

const entriesOf = (error: string, reason: string) =>
  entries.filter((entry) => entry.error === error && entry.reason === reason)

const tagsOf = (
  members: ReadonlyArray<{ readonly fields: { readonly _tag: { readonly schema: { readonly literal: string } } } }>
) => members.map(({ fields }) => fields._tag.schema.literal)

const errors = {
  TokenError: tagsOf(TokenError.Reason.members),
  ApiVideoError: tagsOf(ApiVideoError.Reason.members),
  MovingImageError: tagsOf(MovingImageError.Reason.members),
  UploadError: tagsOf(UploadError.Reason.members)
}

const assertHasWords = (error: string, reason: string, message: string) => {
  const fitting = entriesOf(error, reason).filter(({ words }) => words.every((part) => message.includes(part)))
  assert.isNotEmpty(fitting, `no entry of ${error} ${reason} has words of: ${message}`)
}

const assertListed = (error: string, reason: string, status: number) => {
  const causes = entriesOf(error, reason).flatMap(({ causes }) => causes)
  const kind = `${Math.floor(status / 100)}xx`
  assert.isTrue(
    causes.includes(String(status)) || causes.includes(kind),
    `${error} ${reason} lists ${causes.join(", ")}, and not ${status}`
  )
}

describe("every reason", () => {
  for (const [error, reasons] of Object.entries(errors)) {
    for (const reason of reasons) {
      it(`${error}: ${reason} has an entry with cause and remedy`, () => {
        const found = entriesOf(error, reason)
        assert.isNotEmpty(found)
        for (const { text } of found) {
          assert.match(text, /^- \*\*Cause\.\*\* \S/m)
          assert.match(text, /^- \*\*Remedy\.\*\* \S/m)
        }
      })
    }
  }

  it("has entries for reasons that exist, and no other", () => {
    const existing = Object.entries(errors).flatMap(([error, reasons]) => reasons.map((reason) => `${error} ${reason}`))
    for (const { error, reason } of entries) assert.include(existing, `${error} ${reason}`)
  })

  it("ProviderUnavailable has an entry for each kind of failure, with the words of its message", () => {
    for (const { literal } of TokenError.Failure.members) {
      const entry = entriesOf("TokenError", "ProviderUnavailable").find(({ causes }) => causes.includes(literal))
      const { message } = new TokenError.ProviderUnavailable({ failure: literal })
      assert.include(message, entry?.words.join(" ") ?? `an entry for ${literal}`)
    }
  })

  it("movingimage's numbers have their meanings", () => {
    for (const code of MovingImageError.Code.literals) {
      const answer = { method: "GET", path: "/v1/vms", status: 400, code }
      const [, meaning = "?"] = new RegExp(`^\\| ${code} \\| (.+) \\|$`, "m").exec(page) ?? []
      assert.include(new MovingImageError.BadRequest(answer).message.toLowerCase(), meaning.toLowerCase())
    }
  })
})

/** One of each. A new reason does not compile here until somebody has thought of its message. */
const samples: { readonly [Tag in TokenError.Reason["_tag"]]: Extract<TokenError.Reason, { readonly _tag: Tag }> } = {
  BadRequest: new TokenError.BadRequest({ status: 400 }),
  InvalidCredentials: new TokenError.InvalidCredentials({ status: 400 }),
  RefreshTokenRejected: new TokenError.RefreshTokenRejected({ status: 400 }),
  TokenRejected: new TokenError.TokenRejected({ status: 401 }),
  AccountSuspended: new TokenError.AccountSuspended({ status: 403 }),
  RateLimited: new TokenError.RateLimited({}),
  ProviderUnavailable: new TokenError.ProviderUnavailable({ failure: "timeout" }),
  AmbiguousExchange: new TokenError.AmbiguousExchange({}),
  MalformedResponse: new TokenError.MalformedResponse({ problem: "not JSON" }),
  ConfigurationInvalid: new TokenError.ConfigurationInvalid({ option: "apiKey", problem: "it is empty" }),
  InteractionRequired: new TokenError.InteractionRequired({}),
  LifetimeTooShort: new TokenError.LifetimeTooShort({ requested: Duration.hours(2), available: Duration.hours(1) }),
  RenewalStorm: new TokenError.RenewalStorm({ renewals: 6, retryAfter: Duration.seconds(20) }),
  ProviderRejected: new TokenError.ProviderRejected({ code: "forbidden", detail: "the user may not use the API" }),
  StoreUnavailable: new TokenError.StoreUnavailable({ operation: "acquire" }),
  TokenExpired: new TokenError.TokenExpired({}),
  BodyNotRepeatable: new TokenError.BodyNotRepeatable({ status: 401 }),
  CredentialUnavailable: new TokenError.CredentialUnavailable({ credential: "apiKey", failure: "VaultError" }),
  ServiceClosed: new TokenError.ServiceClosed()
}

type UploadReason = UploadError.Reason
const uploadSamples: { readonly [Tag in UploadReason["_tag"]]: Extract<UploadReason, { readonly _tag: Tag }> } = {
  SourceUnusable: new UploadError.SourceUnusable({ source: "holiday.mp4", problem: "empty" }),
  SourceChanged: new UploadError.SourceChanged({ source: "holiday.mp4", what: "size" }),
  OptionInvalid: new UploadError.OptionInvalid({ option: "chunkSize", problem: "expected 5 MiB or more" }),
  AlreadyUploaded: new UploadError.AlreadyUploaded({ videoId: "vi1" }),
  Stalled: new UploadError.Stalled({ source: "holiday.mp4", after: 60_000 }),
  JournalUnavailable: new UploadError.JournalUnavailable({ operation: "write" }),
  Unsupported: new UploadError.Unsupported({ platform: "movingimage", what: "a stream", advice: "Write it to a file" })
}

const errorStatuses = Array.from({ length: 200 }, (_, index) => 400 + index)
const request = HttpClientRequest.get("https://example.com/videos")

describe("every message", () => {
  for (const [reason, { message }] of Object.entries(samples)) {
    it(`of ${reason} is found by its words`, () => assertHasWords("TokenError", reason, message))
  }

  for (const [reason, { message }] of Object.entries(uploadSamples)) {
    it(`of an upload's ${reason} is found by its words`, () => assertHasWords("UploadError", reason, message))
  }

  const secret = Redacted.make("secret")
  for (const [name, exchange] of Object.entries({
    "api.video's login": ApiVideo.authenticate({ apiKey: secret }),
    "api.video's refresh": ApiVideo.refresh({ refreshToken: secret }),
    "movingimage's login": MovingImage.authenticate({ username: secret, password: secret }),
    "movingimage's refresh": MovingImage.refresh({ refreshToken: secret, videoManager: 42 })
  })) {
    it.effect(`of ${name} is found by its words, and its status is listed`, () =>
      Effect.gen(function* () {
        for (const status of [200, 302, ...errorStatuses]) {
          for (const respond of [() => RecordingHttpClient.json(status, {}), () => RecordingHttpClient.html(status)]) {
            const { client } = RecordingHttpClient.make(respond)
            const error = yield* Effect.flip(Effect.provideService(exchange, HttpClient.HttpClient, client))
            assertHasWords("TokenError", error.reason._tag, error.message)
            assertListed("TokenError", error.reason._tag, status)
          }
        }
      })
    )
  }

  for (const { fromResponse, name } of [
    { name: "ApiVideoError", fromResponse: ApiVideoError.fromResponse },
    { name: "MovingImageError", fromResponse: MovingImageError.fromResponse }
  ]) {
    it.effect(`of ${name} is found by its status, which is listed`, () =>
      Effect.forEach(errorStatuses, (status) =>
        Effect.gen(function* () {
          const { message, reason } = yield* fromResponse(
            HttpClientResponse.fromWeb(request, new Response(null, { status }))
          )
          assertHasWords(name, reason._tag, message)
          assertListed(name, reason._tag, status)
        })
      )
    )
  }
})
