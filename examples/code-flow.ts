/** A small web server whose visitors sign in to movingimage: the authorization code flow, with a session for each browser. */
import { NodeHttpClient, NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, LayerMap, Option } from "effect"
import {
  HttpClient,
  HttpClientRequest,
  HttpRouter,
  HttpServer,
  HttpServerRequest,
  HttpServerResponse
} from "effect/http"
import { KeyValueStore } from "effect/persistence"
import { AuthorizationCode, MovingImage, RenewalPolicy, TokenService } from "effect-video-auth"
import { MovingImageOpenId } from "effect-video-auth/moving-image"
import { createServer } from "node:http"
import { login, Person } from "./support/login.ts"

/** The session of one browser: a token, the sign-in flow, and a client that carries the token. */
class Sessions extends LayerMap.Service<Sessions>()("examples/Sessions", {
  lookup: (id: string) =>
    Layer.unwrap(
      Effect.gen(function* () {
        const baseUrl = yield* Config.String("MOVINGIMAGE_BASE_URL")
        // Each browser has its own store, so nobody can finish a sign-in that began in another browser.
        const own = Layer.effect(
          KeyValueStore.KeyValueStore,
          Effect.map(KeyValueStore.KeyValueStore, KeyValueStore.prefix(id))
        )
        const session = MovingImageOpenId.layerServerApplication({
          baseUrl,
          clientId: "server-app",
          clientSecret: Config.Redacted("OAUTH_CLIENT_SECRET"),
          redirectUri: `${yield* HttpServer.addressFormattedWith(Effect.succeed)}/callback`,
          session: id,
          // No renewals for visitors who have left.
          policy: RenewalPolicy.onDemand
        })
        return MovingImage.layerClient({ baseUrl }).pipe(Layer.provideMerge(session), Layer.provide(own))
      })
    ),
  // With a `TokenStore` a session would survive this; here the visitor signs in again.
  idleTimeToLive: "1 hour"
}) {}

const cookie = "session"

/** Finds the session of a browser, and gives it a cookie at its first visit. */
const withSession = <E, R>(answer: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
  Effect.gen(function* () {
    const { cookies } = yield* HttpServerRequest.HttpServerRequest
    const id = cookies[cookie] ?? crypto.randomUUID()
    const response = yield* Effect.provide(answer, Sessions.get(id))
    return yield* HttpServerResponse.setCookie(response, cookie, id, { httpOnly: true, sameSite: "lax", path: "/" })
  })

const pages = Layer.mergeAll(
  HttpRouter.add(
    "GET",
    "/",
    withSession(
      Effect.gen(function* () {
        const api = yield* MovingImage.MovingImage
        const { status } = yield* api.get("/v1/vms")
        return HttpServerResponse.html(`movingimage answers ${status}. <a href="/logout">Sign out</a>`)
      }).pipe(
        // Nobody has signed in yet, or the session has ended: `session` says which.
        Effect.catchReason("TokenError", "InteractionRequired", () =>
          Effect.succeed(HttpServerResponse.redirect("/login"))
        )
      )
    )
  ),
  HttpRouter.add(
    "GET",
    "/login",
    withSession(
      Effect.gen(function* () {
        const flow = yield* AuthorizationCode.AuthorizationCode
        return HttpServerResponse.redirect(yield* flow.start({ returnTo: "/" }))
      })
    )
  ),
  HttpRouter.add(
    "GET",
    "/callback",
    withSession(
      Effect.gen(function* () {
        const flow = yield* AuthorizationCode.AuthorizationCode
        const { url } = yield* HttpServerRequest.HttpServerRequest
        const { returnTo } = yield* flow.finish(url)
        return HttpServerResponse.redirect(Option.getOrElse(returnTo, () => "/"))
      }).pipe(
        Effect.catchReason("TokenError", "ProviderRejected", ({ message }) =>
          Effect.succeed(HttpServerResponse.text(message, { status: 400 }))
        )
      )
    )
  ),
  HttpRouter.add(
    "GET",
    "/logout",
    withSession(
      Effect.gen(function* () {
        const tokens = yield* TokenService.TokenService
        yield* tokens.invalidate
        return HttpServerResponse.text("signed out")
      })
    )
  )
)

/** Three visits by imitated browsers, each with its own cookies, which follow redirects. */
const visits = Effect.gen(function* () {
  const person = yield* Person
  const client = yield* HttpClient.HttpClient
  const site = yield* HttpServer.addressFormattedWith(Effect.succeed)
  const browser = () => {
    let session = ""
    return Effect.fn(function* (url: string | URL) {
      const response = yield* client.execute(
        HttpClientRequest.get(new URL(url, site), { headers: { cookie: session } })
      )
      session = response.headers["set-cookie"]?.split(";")[0] ?? session
      return { status: response.status, location: response.headers["location"] ?? "", text: yield* response.text }
    })
  }
  const [ann, mallory] = [browser(), browser()]
  yield* Console.log("Ann is sent to", (yield* ann("/")).location)
  const callback = yield* person.signsIn((yield* ann("/login")).location)
  yield* mallory("/")
  const stolen = yield* mallory(callback)
  yield* Console.log("Mallory, with Ann's redirect:", stolen.status)
  yield* Console.log("Ann is sent back to", (yield* ann(callback)).location)
  yield* Console.log("Ann sees:", (yield* ann("/")).text)
  yield* Console.log("Mallory is sent to", (yield* mallory("/")).location)
  yield* Console.log("Ann has", (yield* ann("/logout")).text, "and is sent to", (yield* ann("/")).location)
})

const ServerLive = HttpRouter.serve(pages, { disableLogger: true, disableListenLog: true }).pipe(
  Layer.provide(Sessions.layer),
  Layer.provide(KeyValueStore.layerMemory),
  Layer.provideMerge(
    Layer.unwrap(
      Effect.map(Config.withDefault(Config.Port("PORT"), 0), (port) =>
        NodeHttpServer.layer(createServer, { port, host: "127.0.0.1" })
      )
    )
  ),
  Layer.provideMerge(NodeHttpClient.layerUndici),
  Layer.provideMerge(login)
)

visits.pipe(Effect.provide(ServerLive), NodeRuntime.runMain)
