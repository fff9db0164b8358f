/** The page's own program: it uploads the file that the user picks, and goes on after a reload once they pick it again. */
import { Clock, Effect, Fiber, Layer, ManagedRuntime, Schema, Stream } from "effect"
import { FetchHttpClient, HttpClient, HttpClientResponse } from "effect/http"
import { KeyValueStore } from "effect/persistence"
import { ApiVideo, type UploadEvent, Uploads } from "effect-video-auth/api-video"
import { describe, nothing, shareOf, type State, tell, update } from "../support/progress.ts"

/** What the server that served the page says of api.video's. */
const baseUrl = document.querySelector<HTMLMetaElement>("meta[name=api-video]")?.content

const PageLive = ApiVideo.layerAnonymous({ baseUrl }).pipe(
  Layer.provideMerge(FetchHttpClient.layer),
  // It outlives the page, so the upload does.
  Layer.provideMerge(KeyValueStore.layerStorage(() => localStorage))
)
const runtime = ManagedRuntime.make(PageLive)

const element = <Name extends keyof HTMLElementTagNameMap>(name: Name) => document.querySelector(name)!
const show = (text: string) => Effect.sync(() => void (element("output").textContent = text))

const cancel = document.querySelector<HTMLButtonElement>("#cancel")!

/** Asks for a file: for another one, or for the one whose upload is not complete. */
const ask = (isNew: boolean) => {
  document.querySelector("#hint")!.textContent = isNew
    ? "Pick a video, or drop it here"
    : "Pick the same video again to go on with its upload"
  cancel.hidden = isNew
}

const UploadToken = Schema.Struct({ token: Schema.String })

/** The token of the upload that is not complete, or a new one from the page's server. */
const uploadToken = Effect.gen(function* () {
  const store = yield* KeyValueStore.KeyValueStore
  const held = yield* store.get("upload-token")
  if (held !== undefined) return held
  const response = yield* HttpClient.post(new URL("/upload-token", location.href))
  const { token } = yield* HttpClientResponse.schemaBodyJson(UploadToken)(response)
  yield* store.set("upload-token", token)
  return token
})

const forgetToken = KeyValueStore.KeyValueStore.use((store) => store.remove("upload-token"))

const draw = (state: State, event: UploadEvent) =>
  Effect.gen(function* () {
    const share = shareOf(state)
    if (share !== undefined) element("progress").value = share
    const now = yield* Clock.currentTimeMillis
    const told = event._tag === "Completed" ? tell(event, now) : undefined
    yield* show(told ?? describe(state, now).filter(Boolean).join(" · ").trim())
  })

const upload = (file: File) =>
  Effect.gen(function* () {
    const journal = yield* KeyValueStore.KeyValueStore
    // Small parts: `fetch` tells a page only that a part has arrived.
    const options = { journal, uploadToken: yield* uploadToken, chunkSize: 5 * 1024 * 1024 }
    yield* Uploads.events(file, options).pipe(
      Stream.mapAccum(
        () => nothing,
        (state, event: UploadEvent) => {
          const next = update(state, event)
          return [next, [[next, event] as const]]
        }
      ),
      Stream.runForEach(([state, event]) => draw(state, event))
    )
    yield* forgetToken
    yield* Effect.sync(() => ask(true))
  }).pipe(
    Effect.catchReason("ApiVideoError", "Unauthorized", () =>
      Effect.andThen(forgetToken, show("This upload has expired. Pick the file again to begin anew"))
    ),
    Effect.catch(({ message }) => show(message)),
    Effect.onInterrupt(() =>
      Effect.andThen(
        Effect.sync(() => ask(false)),
        show("Cancelled")
      )
    )
  )

let running: Fiber.Fiber<void, unknown> | undefined
const stop = () => (running === undefined ? Effect.void : Fiber.interrupt(running))

element("input").addEventListener("change", ({ currentTarget }) => {
  const file = currentTarget instanceof HTMLInputElement ? currentTarget.files?.[0] : undefined
  if (file === undefined) return
  element("section").hidden = false
  document.querySelector("#name")!.textContent = file.name
  cancel.hidden = false
  void runtime.runPromise(stop()).then(() => {
    running = runtime.runFork(upload(file))
  })
})
cancel.addEventListener("click", () => void runtime.runPromise(stop()))

ask(localStorage.getItem("upload-token") === null)
element("input").disabled = false
