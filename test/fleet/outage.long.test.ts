/** A server that is stopped and started again while a fleet runs on it. Each process of it is a service with its own client. */
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Redacted, Ref, Schedule, type Scope } from "effect"
import { TokenEncryption, TokenService, type TokenStore, TokenStoreRedis, TokenStoreSql } from "effect-video-auth"
import * as FakeProvider from "effect-video-auth/testing/FakeProvider"
import type { Instance } from "../support/instances.ts"
import { postgres, redis } from "../support/servers.ts"

const size = 6
const encryption = TokenEncryption.make({ keys: [Redacted.make(Buffer.alloc(32, 7).toString("base64"))] })

/** A client warns of each connection that it lost. */
const silent = Logger.layer([])

const survives = <E>(
  makeServer: Effect.Effect<Instance, never, Scope.Scope>,
  prepare: (url: string) => Effect.Effect<void, E>,
  storeAt: (url: string) => Layer.Layer<TokenStore.TokenStore, E>
) => {
  it.live(
    "fails no request while it is gone, and after its return there is one credential again, renewed once each time",
    () =>
      Effect.gen(function* () {
        const server = yield* makeServer
        yield* prepare(server.url)
        const fake = FakeProvider.make({ lifetime: "3 seconds", latency: "100 millis" })
        const fleet = yield* Effect.replicateEffect(
          Effect.flatMap(Layer.build(storeAt(server.url)), (services) =>
            Effect.provideContext(TokenService.make({ provider: fake.provider }), services)
          ),
          size
        )
        const failures = yield* Ref.make<ReadonlyArray<string>>([])
        const request = (service: TokenService.TokenService["Service"]) =>
          Effect.catch(Effect.asVoid(service.get), ({ message }) => Ref.update(failures, (all) => [...all, message]))
        yield* Effect.forEach(fleet, (service) =>
          Effect.forkScoped(Effect.repeat(request(service), Schedule.spaced("50 millis")))
        )
        const states = Effect.forEach(fleet, ({ state }) => state)
        const exchanges = Effect.map(fake.ledger, ({ logins, refreshes }) => logins + refreshes)
        const all = (test: (state: TokenService.State) => boolean) =>
          Effect.repeat(Effect.delay(states, 50), { until: (states) => states.every(test) })

        yield* all(({ generation }) => generation >= 2)
        assert.strictEqual((yield* fake.ledger).logins, 1)
        yield* server.stop
        // Each has renewed by a login of its own.
        yield* all(({ degraded }) => degraded)
        yield* server.start
        const [back] = yield* all(({ degraded, generation }) => !degraded && generation >= 3)
        const generation = back!.generation + 1
        yield* all((state) => state.generation >= generation)
        const before = yield* exchanges
        const [later] = yield* all((state) => state.generation >= generation + 2)
        assert.strictEqual((yield* exchanges) - before, later!.generation - generation)
        assert.deepStrictEqual(yield* Ref.get(failures), [])
        const { refreshTokens } = yield* fake.ledger
        assert.strictEqual(new Set(refreshTokens).size, refreshTokens.length)
      }).pipe(Effect.provide(silent))
  )
}

describe.concurrent("a fleet whose store stops and starts", () => {
  redis.describeOwn("Redis", (own) =>
    survives(
      own,
      () => Effect.void,
      (url) =>
        TokenStoreRedis.layer({ encryption }).pipe(Layer.provide(TokenStoreRedis.layerLazy(NodeRedis.layer({ url }))))
    )
  )

  postgres.describeOwn("PostgreSQL", (own) => {
    const client = (url: string) => PgClient.layer({ url: Redacted.make(url), maxConnections: 2 })
    survives(
      own,
      (url) => Effect.provide(TokenStoreSql.migration(), client(url)),
      (url) => TokenStoreSql.layer({ encryption }).pipe(Layer.provide(client(url)))
    )
  })
})
