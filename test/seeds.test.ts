/**
 * The examples of the platforms' own documents against the sandboxes: api.video's ("Authentication steps", "Authentication
 * and refresh tokens") word for word but for scheme and host, movingimage's ("Create Access and Refresh Token Request",
 * "Create Refresh Token Request") as printed, which is not JSON, and with the two kinds of quotes exchanged, which is.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Schema } from "effect"
import { ApiVideoSandbox, layer } from "effect-video-auth/testing/ApiVideoSandbox"
import * as MovingImageSandbox from "effect-video-auth/testing/MovingImageSandbox"
import { execFile, spawnSync } from "node:child_process"
import { connect } from "node:net"

const fixture = (name: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => fs.readFileString(`${import.meta.dirname}/fixtures/${name}`))

const TokenPair = Schema.fromJsonString(
  Schema.Struct({
    token_type: Schema.Literal("Bearer"),
    expires_in: Schema.Literal(3600),
    access_token: Schema.String.check(Schema.isPattern(/^[\w-]+\.[\w-]+\.[\w-]+$/)),
    refresh_token: Schema.String.check(Schema.isStartingWith("def50200"))
  })
)
const decodePair = Schema.decodeUnknownEffect(TokenPair)

const shell = (script: string) =>
  Effect.callback<string>((resume) => {
    execFile("sh", ["-c", script], (error, stdout, stderr) =>
      resume(error === null ? Effect.succeed(stdout) : Effect.die(new Error(stderr, { cause: error })))
    )
  })

/** Sends the text, gives what comes back until the server closes the connection. */
const overSocket = (port: number, text: string) =>
  Effect.callback<string>((resume) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(text))
    let answer = ""
    socket.setEncoding("utf8")
    socket.on("data", (chunk) => (answer += String(chunk)))
    socket.on("end", () => resume(Effect.succeed(answer)))
    socket.on("error", (error) => resume(Effect.die(error)))
    return Effect.sync(() => socket.destroy())
  })

const hasCurl = spawnSync("curl", ["--version"]).status === 0 && spawnSync("sh", ["-c", "exit 0"]).status === 0
const unless = hasCurl ? "" : " (SKIPPED: curl or sh is not installed on this machine)"

describe("api.video's own examples, against the sandbox", () => {
  for (const name of ["curl-1.sh", "curl-2.sh"]) {
    it.effect.skipIf(!hasCurl)(`${name} brings a token pair${unless}`, () =>
      Effect.gen(function* () {
        const sandbox = yield* ApiVideoSandbox
        const script = yield* fixture(name)
        assert.include(script, "https://sandbox.api.video")
        yield* decodePair(yield* shell(script.replace("https://sandbox.api.video", sandbox.url)))
        assert.strictEqual((yield* sandbox.ledger).loginsAccepted, 1)
      }).pipe(Effect.provide([layer(), NodeServices.layer]))
    )
  }

  it.effect("the raw HTTP request brings a token pair", () =>
    Effect.gen(function* () {
      const sandbox = yield* ApiVideoSandbox
      const host = new URL(sandbox.url).host
      const lines = (yield* fixture("request.http")).trimEnd().split("\n")
      const start = lines.indexOf("{")
      const body = lines.slice(start).join("\n")
      // The document shows what matters of a request. What every HTTP tool adds is added here: CRLF, the empty line
      // before the body and its Content-Length; Connection: close, so that the end of the answer is its end.
      const head = [
        ...lines.slice(0, start).map((line) => line.replace("Host: sandbox.api.video", `Host: ${host}`)),
        `Content-Length: ${new TextEncoder().encode(body).length}`,
        "Connection: close"
      ]
      const answer = yield* overSocket(Number(new URL(sandbox.url).port), `${head.join("\r\n")}\r\n\r\n${body}`)
      assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/)
      yield* decodePair(answer.slice(answer.indexOf("\r\n\r\n") + 4))
    }).pipe(Effect.provide([layer(), NodeServices.layer]))
  )

  it.effect("the documented answer has the shape of the sandbox's", () =>
    Effect.gen(function* () {
      yield* decodePair(yield* fixture("seed-response.json"))
    }).pipe(Effect.provide(NodeServices.layer))
  )
})

const MovingImagePair = Schema.fromJsonString(
  Schema.Struct({
    accessToken: Schema.String,
    refreshToken: Schema.String,
    videoManagerList: Schema.Array(Schema.Struct({ id: Schema.Finite, name: Schema.String })),
    validForVideoManager: Schema.String
  })
)
const decodeMovingImagePair = Schema.decodeUnknownEffect(MovingImagePair)

/** Runs a command of movingimage's documents; the values replace its placeholders. */
const movingImage = Effect.fn(function* (
  name: "movingimage-login.sh" | "movingimage-refresh.sh",
  quotes: "as printed" | "exchanged",
  values: Readonly<Record<string, string>> = {}
) {
  const { url } = yield* MovingImageSandbox.MovingImageSandbox
  const script = yield* fixture(name)
  assert.include(script, "https://api.video-cdn.net")
  const quoted = quotes === "as printed" ? script : script.replaceAll(/['"]/g, (quote) => (quote === "'" ? '"' : "'"))
  return yield* shell(
    Object.entries({ ...values, "https://api.video-cdn.net": url }).reduce(
      (text, [placeholder, value]) => text.replace(placeholder, value),
      quoted
    )
  )
})

const loginAndRefresh = Effect.gen(function* () {
  const first = yield* decodeMovingImagePair(yield* movingImage("movingimage-login.sh", "exchanged"))
  const answer = yield* movingImage("movingimage-refresh.sh", "exchanged", {
    "<REFRESH_TOKEN>": first.refreshToken,
    "<VIDEOMANAGER_ID>": String(first.videoManagerList[1]?.id)
  })
  return { first, second: yield* decodeMovingImagePair(answer), answer }
})

describe("movingimage's own examples, against the sandbox", () => {
  const provide = Effect.provide([MovingImageSandbox.layer(), NodeServices.layer])

  it.effect.skipIf(!hasCurl)(`with their quotes exchanged, they log in and switch the VideoManager${unless}`, () =>
    Effect.gen(function* () {
      const { first, second } = yield* loginAndRefresh
      assert.strictEqual(first.validForVideoManager, "101")
      assert.strictEqual(second.validForVideoManager, "102")
      const sandbox = yield* MovingImageSandbox.MovingImageSandbox
      assert.deepInclude(yield* sandbox.ledger, { loginsAccepted: 1, refreshesAccepted: 1 })
    }).pipe(provide)
  )

  for (const name of ["movingimage-login.sh", "movingimage-refresh.sh"] as const) {
    it.effect.skipIf(!hasCurl)(`${name} as printed gets a 400 that speaks of the single quotes${unless}`, () =>
      Effect.gen(function* () {
        // Without quotes around it, a shell takes the placeholder in the URL for redirections.
        const answer = yield* movingImage(name, "as printed", { "<VIDEOMANAGER_ID>": "101" })
        assert.match(answer, /^\{"message":"The body is not JSON: single quotes \('\)/)
        const sandbox = yield* MovingImageSandbox.MovingImageSandbox
        assert.deepInclude(yield* sandbox.ledger, { loginsRefused: 0, responses: { 400: 1 } })
      }).pipe(provide)
    )
  }

  it.effect.skipIf(!hasCurl)(`the documented answer, its placeholders filled in, is the sandbox's${unless}`, () =>
    Effect.gen(function* () {
      const { answer, second } = yield* loginAndRefresh
      const [one, two] = second.videoManagerList
      const filled = [
        ["<ACCESS_TOKEN>", JSON.stringify(second.accessToken)],
        ["<REFRESH_TOKEN>", JSON.stringify(second.refreshToken)],
        ["<VIDEOMANAGER_ID>", String(one?.id)],
        ["<VIDEOMANAGER_NAME>", JSON.stringify(one?.name)],
        ["{...}", JSON.stringify(two)],
        ["<VIDEOMANAGER_ID>", second.validForVideoManager]
      ].reduce(
        (text, [placeholder = "", value = ""]) => text.replace(placeholder, value),
        yield* fixture("movingimage-response.txt")
      )
      assert.deepStrictEqual(JSON.parse(filled), JSON.parse(answer))
    }).pipe(provide)
  )
})
