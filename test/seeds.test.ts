/**
 * The examples of api.video's own documents ("Authentication steps", "Authentication and refresh tokens") against the
 * sandbox: word for word but for scheme and host.
 */
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Schema } from "effect"
import { ApiVideoSandbox, layer } from "effect-video-auth/testing/ApiVideoSandbox"
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
