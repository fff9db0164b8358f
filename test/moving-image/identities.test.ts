/** Two configurations that could get different tokens never share an identity in a store. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Schema } from "effect"
import { HttpClient } from "effect/http"
import { MovingImage, TokenServiceMap, TokenStore } from "effect-video-auth"
import * as Sandbox from "effect-video-auth/testing/MovingImageSandbox"
import { checks } from "../support/random.ts"

const Configuration = Schema.Struct({
  baseUrl: Schema.Literals(["https://one.example", "https://two.example", "https://one.example:8443"]),
  username: Schema.Literals(["anna", "bert", "anna:1", "1:anna"]),
  password: Schema.Literals(["secret", "other", "1:secret"]),
  videoManager: Schema.UndefinedOr(Schema.Literals([1, 11, 42]))
})

const identityOf = ({ password, username, ...options }: typeof Configuration.Type) =>
  MovingImage.provider({
    ...options,
    username: Redacted.make(username),
    password: Redacted.make(password)
  }).pipe(Effect.flatMap(({ identity }) => identity))

it.effect.prop(
  "an identity covers server, user, password and VideoManager",
  { one: Configuration, other: Configuration },
  ({ one, other }) =>
    Effect.gen(function* () {
      const isSame = (yield* identityOf(one)) === (yield* identityOf(other))
      assert.strictEqual(isSame, JSON.stringify(one) === JSON.stringify(other), JSON.stringify([one, other]))
    }).pipe(
      // An identity takes no request.
      Effect.provideService(
        HttpClient.HttpClient,
        HttpClient.make(() => Effect.die("no request was expected"))
      )
    ),
  checks(60)
)

it.live("S18: a client for one VideoManager and a session's client for it have rows of their own in a store", () =>
  Effect.gen(function* () {
    const { url: baseUrl } = yield* Sandbox.MovingImageSandbox
    const memory = yield* TokenStore.makeMemory
    const committed = new Map<string, boolean>()
    const backend: TokenStore.Backend = {
      ...memory,
      commit: (identity, options) => {
        committed.set(identity, options.record.refreshToken !== undefined)
        return memory.commit(identity, options)
      }
    }
    const credentials = { baseUrl, username: Redacted.make("anna"), password: Redacted.make("secret") }
    const store = Layer.orDie(TokenStore.layer(Effect.succeed(backend)))
    const list = MovingImage.MovingImage.use((api) => api.get("/v1/vms/42/videos"))
    yield* Effect.provide(list, MovingImage.layer({ ...credentials, videoManager: 42 }).pipe(Layer.provide(store)))
    const [[own, hasRefreshToken] = assert.fail("nothing was stored")] = committed
    assert.isTrue(hasRefreshToken)
    yield* Effect.provide(
      Effect.flatMap(MovingImage.clientFor(42), (api) => api.get("/v1/vms/42/videos")),
      MovingImage.layerMap(credentials).pipe(Layer.provide(TokenServiceMap.layer()), Layer.provide(store))
    )
    // The row of the client still has its refresh token. The session's subject has a row without one.
    assert.isTrue(committed.get(own))
    assert.deepStrictEqual([...committed.values()].toSorted(), [false, true, true])
  }).pipe(
    Effect.provide(
      Layer.provideMerge(
        Sandbox.layer({
          accounts: [{ username: "anna", password: "secret", videoManagers: [{ id: 42, name: "Sales" }] }]
        }),
        NodeHttpClient.layerUndici
      )
    )
  )
)
