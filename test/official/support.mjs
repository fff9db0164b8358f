/** A sandbox for api.video's own clients, and the files that they send. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as ApiVideoSandbox from "../../src/testing/ApiVideoSandbox.ts"

/** Starts a sandbox without rate limits. */
export const startSandbox = async () => {
  const scope = Effect.runSync(Scope.make())
  const layer = ApiVideoSandbox.layer({ rateLimits: ApiVideoSandbox.noRateLimits })
  const context = await Effect.runPromise(Layer.buildWithScope(layer, scope))
  const sandbox = Context.get(context, ApiVideoSandbox.ApiVideoSandbox)
  return {
    url: sandbox.url,
    ledger: () => Effect.runPromise(sandbox.ledger),
    configure: (behaviour) => Effect.runPromise(sandbox.configure(behaviour)),
    revokeAccessTokens: () => Effect.runPromise(sandbox.revokeAccessTokens),
    inject: (fault) => Effect.runPromise(sandbox.inject(fault)),
    stop: () => Effect.runPromise(Scope.close(scope, Exit.void))
  }
}

const mebibyte = 1024 * 1024

/** Content of so many bytes that is not the same throughout. */
export const bytes = (length) =>
  Buffer.alloc(
    length,
    Uint8Array.from({ length: 251 }, (_, index) => index)
  )

/** The smallest JPEG that file types are told by. */
const picture = Uint8Array.from([
  0xff, 0xd8, 0xff, 0xe0, 0, 16, 0x4a, 0x46, 0x49, 0x46, 0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 0xff, 0xd9
])

/** Files in a folder of their own. */
export const files = () => {
  const folder = mkdtempSync(join(tmpdir(), "effect-video-auth-official-"))
  const write = (name, content) => {
    const path = join(folder, name)
    writeFileSync(path, content)
    return path
  }
  return {
    small: write("small.mp4", bytes(1000)),
    part: write("part.mp4", bytes(5 * mebibyte)),
    /** Three chunks of 5 MiB, the last one shorter. */
    large: write("large.mp4", bytes(11 * mebibyte)),
    picture: write("picture.jpg", picture),
    text: write("text.vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\nHello\n"),
    remove: () => rmSync(folder, { recursive: true })
  }
}
