/**
 * Redis and PostgreSQL for tests: one that is there, or one of a test's own that it can stop and start again.
 *
 * A server to share is what the environment names (`REDIS_URL`, `DATABASE_URL`), else one on 127.0.0.1 at its usual port,
 * else one that is started for the test file. Where there is none its tests are skipped, which is said; with
 * `REQUIRE_SERVERS=1` in the environment they fail.
 */
import { afterAll, describe, it } from "@effect/vitest"
import { Config, Effect, Exit, Option, Scope } from "effect"
import * as Instances from "./instances.ts"

/** The server to share: found once per test file, when it is first asked for. */
const share = Effect.fnUntraced(function* (kind: Instances.Kind) {
  const named = yield* Effect.orDie(Config.option(Config.String(kind.variable)))
  for (const url of Option.isSome(named) ? [named.value] : kind.usual) {
    if (yield* kind.answers(url)) return url
  }
  const scope = yield* Scope.make()
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  return Option.getOrUndefined(yield* Scope.provide(Instances.start(kind), scope))?.url
})

const why = (kind: Instances.Kind) =>
  `${kind.name}: none at ${kind.variable}, none at ${kind.usual.join(" or ")}, and not installed; its tests are skipped`

const skip = (kind: Instances.Kind, name: string): void => {
  const isRequired = process.env["REQUIRE_SERVERS"] === "1"
  if (!isRequired) console.warn(why(kind))
  describe(name, () => {
    it.live.skipIf(!isRequired)(why(kind), () => Effect.die(why(kind)))
  })
}

const make = (kind: Instances.Kind) => ({
  /**
   * Registers tests on a server that others use as well, so with names of their own for all that they put there. Awaited
   * at the top of a test file.
   */
  describe: async (name: string, body: (url: string) => void): Promise<void> => {
    const url = await Effect.runPromise(share(kind))
    if (url === undefined) skip(kind, name)
    else describe(name, () => body(url))
  },
  /** Registers tests that stop and start servers of their own. */
  describeOwn: (name: string, body: (own: Effect.Effect<Instances.Instance, never, Scope.Scope>) => void): void => {
    if (kind.isInstalled) describe.concurrent(name, () => body(Effect.map(Instances.start(kind), Option.getOrThrow)))
    else skip(kind, name)
  }
})

export const redis = make(Instances.redis)
export const postgres = make(Instances.postgres)
