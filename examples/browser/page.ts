/**
 * The page's own program: who uses it signs in to movingimage, and the page calls the API with their token. A reload keeps the
 * session, and so does another tab.
 */
import { Effect, Layer, ManagedRuntime, Schema } from "effect"
import { FetchHttpClient, HttpClientResponse } from "effect/http"
import { KeyValueStore } from "effect/persistence"
import { AuthorizationCode, MovingImage, TokenError, TokenService, TokenStoreWeb } from "effect-video-auth"
import { MovingImageOpenId } from "effect-video-auth/moving-image"

/** What the server that served the page says of movingimage's. */
const baseUrl = document.querySelector<HTMLMetaElement>("meta[name=movingimage]")?.content ?? ""

const token = MovingImageOpenId.layerBrowserApplication({
  baseUrl,
  clientId: "browser-app",
  redirectUri: location.origin + location.pathname
})

const PageLive = MovingImage.layerClient({ baseUrl }).pipe(
  Layer.provideMerge(token),
  // The session, for all tabs.
  Layer.provide(TokenStoreWeb.layer()),
  // What outlives the way to the login page and back, and not this tab.
  Layer.provide(KeyValueStore.layerStorage(() => sessionStorage)),
  Layer.provide(FetchHttpClient.layer)
)
const runtime = ManagedRuntime.make(PageLive)

const show = (text: string, session?: "none" | "active") =>
  Effect.sync(() => {
    document.querySelector("output")!.textContent = text
    if (session !== undefined) document.body.dataset["session"] = session
  })

/** Tells a visitor what happened. Whoever never signed in has lost no session. */
const explain = (error: { readonly message: string }) => {
  const reason = error instanceof TokenError.TokenError ? error.reason : undefined
  const cause = reason?._tag === "TokenExpired" ? reason.renewal : reason
  if (cause?._tag !== "InteractionRequired") return show(error.message)
  return show(
    cause.session === "none" ? "Nobody has signed in." : "Your session has ended. Please sign in again.",
    "none"
  )
}

const VideoManagers = Schema.Array(MovingImage.VideoManager)

const list = Effect.gen(function* () {
  const api = yield* MovingImage.MovingImage
  const videoManagers = yield* Effect.flatMap(api.get("/v1/vms"), HttpClientResponse.schemaBodyJson(VideoManagers))
  yield* show(`VideoManagers: ${videoManagers.map(({ name }) => name).join(", ")}`, "active")
})

const begin = Effect.gen(function* () {
  const flow = yield* AuthorizationCode.AuthorizationCode
  location.assign(yield* flow.start())
})

const end = Effect.gen(function* () {
  const tokens = yield* TokenService.TokenService
  yield* tokens.invalidate
  yield* show("You have signed out.", "none")
})

/** Back from the login page, the address has the code: it is traded once, and nobody needs to see it. */
const arrive = Effect.gen(function* () {
  if (new URLSearchParams(location.search).has("state")) {
    const { href, pathname } = location
    history.replaceState(undefined, "", pathname)
    const flow = yield* AuthorizationCode.AuthorizationCode
    yield* flow.finish(href)
  }
  // Otherwise somebody may have signed in before a reload, or in another tab.
  yield* list
})

const run = <E extends { readonly message: string }>(
  program: Effect.Effect<void, E, Layer.Success<typeof PageLive>>
): Promise<void> => runtime.runPromise(Effect.catch(program, explain))

for (const [id, program] of Object.entries({ begin, list, end })) {
  document.getElementById(id)?.addEventListener("click", () => run<{ readonly message: string }>(program))
}
void run(arrive)
