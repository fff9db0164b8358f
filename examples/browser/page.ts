/** The page's own program: who uses it signs in to movingimage, and the page calls the API with their token. */
import { Effect, Layer, ManagedRuntime, Schema } from "effect"
import { FetchHttpClient, HttpClientResponse } from "effect/http"
import { KeyValueStore } from "effect/persistence"
import { AuthorizationCode, MovingImage, TokenService } from "effect-video-auth"
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
  // It outlives the way to the login page and back, and this tab does not.
  Layer.provide(KeyValueStore.layerStorage(() => sessionStorage)),
  Layer.provide(FetchHttpClient.layer)
)
const runtime = ManagedRuntime.make(PageLive)

const show = (text: string) =>
  Effect.sync(() => {
    document.querySelector("output")!.textContent = text
  })

const VideoManagers = Schema.Array(MovingImage.VideoManager)

const list = Effect.gen(function* () {
  const api = yield* MovingImage.MovingImage
  const videoManagers = yield* Effect.flatMap(api.get("/v1/vms"), HttpClientResponse.schemaBodyJson(VideoManagers))
  yield* show(`VideoManagers: ${videoManagers.map(({ name }) => name).join(", ")}`)
})

const begin = Effect.gen(function* () {
  const flow = yield* AuthorizationCode.AuthorizationCode
  location.assign(yield* flow.start())
})

const end = Effect.gen(function* () {
  const tokens = yield* TokenService.TokenService
  yield* tokens.invalidate
  yield* show("Signed out")
})

/** Back from the login page, the address has the code: it is traded once, and nobody needs to see it. */
const arrive = Effect.gen(function* () {
  if (!new URLSearchParams(location.search).has("state")) return yield* show("Nobody has signed in")
  const { href, pathname } = location
  history.replaceState(undefined, "", pathname)
  const flow = yield* AuthorizationCode.AuthorizationCode
  yield* flow.finish(href)
  yield* list
})

const run = <E extends { readonly message: string }>(
  program: Effect.Effect<void, E, Layer.Success<typeof PageLive>>
): Promise<void> => runtime.runPromise(Effect.catch(program, ({ message }) => show(message)))

for (const [id, program] of Object.entries({ begin, list, end })) {
  document.getElementById(id)?.addEventListener("click", () => run<{ readonly message: string }>(program))
}
void run(arrive)
