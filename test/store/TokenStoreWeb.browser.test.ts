/** Tabs of a real browser that share a session through the store of pages. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Schema } from "effect"
import { build } from "esbuild"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as Chromium from "../support/chromium.ts"
import { listen } from "../support/listen.ts"

const folder = join(import.meta.dirname, "browser")
const throttled = readFileSync(join(folder, "throttled.js"), "utf8")

/** The page's program, made once. */
const bundle = Effect.runSync(
  Effect.cached(
    Effect.promise(async () => {
      const { outputFiles } = await build({
        entryPoints: [join(folder, "page.ts")],
        conditions: ["@effect-video-auth/source"],
        bundle: true,
        format: "esm",
        platform: "browser",
        target: "es2022",
        write: false
      })
      return outputFiles[0]?.text ?? ""
    })
  )
)

// ---------------------------------------------------------------------------------------------------------------------
// The server: refresh tokens that rotate, and exchanges that a test can hold up
// ---------------------------------------------------------------------------------------------------------------------

interface Ledger {
  logins: number
  /** Those that came, in order. */
  readonly refreshTokens: Array<string>
  /** The highest number of exchanges at once. */
  peak: number
}

interface Site {
  readonly url: string
  readonly ledger: Ledger
  /** How long tokens live, in milliseconds. */
  lifetime: number
  /** Answers no exchange until `answer`. */
  hold: () => void
  /** Answers those that wait, and all later ones. */
  readonly answer: () => void
  /** Waits until so many exchanges wait for an answer. */
  readonly held: (count: number) => Effect.Effect<void>
}

const makeSite = Effect.gen(function* () {
  const { serve, url } = yield* listen
  const script = yield* bundle
  const ledger: Ledger = { logins: 0, refreshTokens: [], peak: 0 }
  let [issued, running] = [0, 0]
  let valid = new Set<string>()
  let waiting: Array<() => void> | undefined
  let watchers: Array<() => void> = []
  const site: Site = {
    url,
    ledger,
    lifetime: 3_600_000,
    hold: () => {
      waiting ??= []
    },
    answer: () => {
      const answers = waiting ?? []
      waiting = undefined
      for (const answer of answers) answer()
    },
    held: (count) =>
      Effect.callback<void>((resume) => {
        const look = () => ((waiting?.length ?? 0) >= count ? resume(Effect.void) : watchers.push(look))
        look()
      })
  }
  serve(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "/", url)
    response.setHeader("access-control-allow-origin", "*")
    if (request.method === "GET") {
      if (searchParams.has("sandboxed")) response.setHeader("content-security-policy", "sandbox allow-scripts")
      return pathname === "/page.js"
        ? response.setHeader("content-type", "text/javascript").end(script)
        : response
            .setHeader("content-type", "text/html")
            .end(
              '<!doctype html><title>Tab</title><link rel="icon" href="data:,"><script type="module" src="/page.js"></script>'
            )
    }
    let sent = ""
    for await (const chunk of request) sent += String(chunk)
    running += 1
    ledger.peak = Math.max(ledger.peak, running)
    let isValid = true
    if (pathname === "/refresh") {
      ledger.refreshTokens.push(sent)
      isValid = valid.delete(sent)
    } else ledger.logins += 1
    if (waiting !== undefined) {
      await new Promise<void>((resolve) => {
        waiting?.push(resolve)
        for (const watcher of watchers.splice(0)) watcher()
      })
    }
    running -= 1
    if (!isValid) return response.writeHead(400).end()
    issued += 1
    valid.add(`refresh-${issued}`)
    const answer = { accessToken: `access-${issued}`, refreshToken: `refresh-${issued}`, expiresIn: site.lifetime }
    return response.setHeader("content-type", "application/json").end(JSON.stringify(answer))
  })
  return site
})

// ---------------------------------------------------------------------------------------------------------------------
// Tabs
// ---------------------------------------------------------------------------------------------------------------------

class Browser extends Context.Service<Browser, Chromium.Chromium>()("test/Browser") {}
const BrowserLive = Layer.effect(Browser, Chromium.make)

const Told = Schema.Struct({
  token: Schema.optional(Schema.String),
  generation: Schema.optional(Schema.Number),
  isValid: Schema.optional(Schema.Boolean),
  reason: Schema.optional(Schema.String),
  session: Schema.optional(Schema.String)
})

interface Tab extends Chromium.Page {
  readonly call: (method: "get" | "renew") => Effect.Effect<typeof Told.Type, Chromium.ChromiumError>
  readonly signIn: Effect.Effect<unknown, Chromium.ChromiumError>
}

const asTab = (page: Chromium.Page): Effect.Effect<Tab, Chromium.ChromiumError> => {
  const tab: Tab = {
    ...page,
    call: (method) => page.evaluate(`tab.${method}()`, Told),
    signIn: page.evaluate("tab.signIn()", Schema.Unknown)
  }
  return Effect.as(page.waitFor("the program", "globalThis.tab === undefined ? null : true", Schema.Boolean), tab)
}

/** Opens a tab of a site. */
const open = Effect.fnUntraced(function* (
  { url }: Site,
  settings: Readonly<Record<string, string>> = {},
  options?: Chromium.OpenOptions
) {
  const chromium = yield* Browser
  const tab = yield* asTab(yield* chromium.open(`${url}/?${new URLSearchParams(settings)}`, options))
  if (options?.before === throttled) {
    // The program has started before its tab went to the background.
    yield* tab.evaluate("tab.state()", Schema.Unknown)
    yield* tab.evaluate("minutes.begin()", Schema.Unknown)
  }
  return tab
})

const all = <const Effects extends ReadonlyArray<Effect.Effect<unknown, unknown, unknown>>>(effects: Effects) =>
  Effect.all(effects, { concurrency: "unbounded" })

const assertSentOnce = ({ refreshTokens }: Ledger) =>
  assert.strictEqual(new Set(refreshTokens).size, refreshTokens.length, refreshTokens.join(" "))

/** Tabs that wait for each other as short as they may, because a test waits for them. */
const quick = { login: "", lease: "300" }

/** Sets the wall clock on, and not the monotonic one, which stands still on most machines that sleep. */
const asleep = `{
  const wall = Date.now.bind(Date)
  let slept = 0
  Date.now = () => wall() + slept
  globalThis.sleepFor = (millis) => void (slept += millis)
}`

describe.skipIf(Chromium.isSkipped)(Chromium.named("web: tabs of Chromium"), () => {
  it.layer(BrowserLive, { excludeTestServices: true, timeout: "2 minutes" })((it) => {
    it.effect("a reload keeps the session", () =>
      Effect.gen(function* () {
        const site = yield* makeSite
        const tab = yield* open(site)
        assert.deepInclude(yield* tab.call("get"), { reason: "InteractionRequired", session: "none" })
        yield* tab.signIn
        assert.deepInclude(yield* tab.call("get"), { token: "access-1" })
        yield* tab.reload
        assert.deepInclude(yield* (yield* asTab(tab)).call("get"), { token: "access-1" })
        assert.deepInclude(site.ledger, { logins: 1, refreshTokens: [] })
        assert.deepStrictEqual(yield* tab.complaints, [])
      })
    )

    it.effect("several tabs make one login, and one renewal each time", () =>
      Effect.gen(function* () {
        const site = yield* makeSite
        const tabs = yield* all(Array.from({ length: 5 }, () => open(site, { login: "" })))
        for (const { token } of yield* all(tabs.map((tab) => tab.call("get")))) assert.strictEqual(token, "access-1")
        for (const generation of [2, 3, 4]) {
          for (const { token } of yield* all(tabs.map((tab) => tab.call("renew"))))
            assert.strictEqual(token, `access-${generation}`)
        }
        assert.deepStrictEqual(site.ledger, {
          logins: 1,
          refreshTokens: ["refresh-1", "refresh-2", "refresh-3"],
          peak: 1
        })
      })
    )

    it.effect("a tab and its duplicate never send the same refresh token", () =>
      Effect.gen(function* () {
        const site = yield* makeSite
        const tab = yield* open(site)
        yield* tab.signIn
        yield* tab.call("get")
        // As a browser does that duplicates a tab, this copies what the tab keeps for itself.
        yield* tab.evaluate("void window.open(location.href)", Schema.Unknown)
        const duplicate = yield* asTab(yield* (yield* Browser).adopt)
        yield* all([tab, duplicate, tab, duplicate].map((tab) => tab.call("renew")))
        for (let round = 0; round < 5; round++) {
          yield* all([tab.call("renew"), duplicate.call("renew")])
        }
        assertSentOnce(site.ledger)
        assert.strictEqual(site.ledger.peak, 1)
      })
    )

    it.effect("a tab that is frozen during a login blocks nobody, and goes on with the others' token", () =>
      Effect.gen(function* () {
        const site = yield* makeSite
        const [frozen, other] = yield* all([open(site, quick, { before: throttled }), open(site, quick)])
        site.hold()
        const asking = yield* Effect.forkChild(frozen.call("get"))
        yield* site.held(1)
        yield* frozen.setFrozen(true)
        const waiting = yield* Effect.forkChild(other.call("get"))
        yield* site.held(2)
        site.answer()
        const { token } = yield* Fiber.join(waiting)
        yield* frozen.setFrozen(false)
        assert.strictEqual((yield* Fiber.join(asking)).token, token)
        assert.deepInclude(site.ledger, { logins: 2, refreshTokens: [] })
      })
    )

    it.effect("a tab that crashes during a login blocks nobody", () =>
      Effect.gen(function* () {
        const site = yield* makeSite
        const [crashing, other] = yield* all([open(site, quick, { before: throttled }), open(site, quick)])
        site.hold()
        yield* Effect.forkChild(Effect.exit(crashing.call("get")))
        yield* site.held(1)
        yield* crashing.crash
        const waiting = yield* Effect.forkChild(other.call("get"))
        yield* site.held(2)
        site.answer()
        assert.strictEqual((yield* Fiber.join(waiting)).token, "access-2")
      })
    )

    it.effect("a tab in the background, where no timer runs, renews for a request", () =>
      Effect.gen(function* () {
        const site = yield* makeSite
        const [hidden, visible] = yield* all([open(site, {}, { before: throttled }), open(site)])
        yield* visible.signIn
        assert.deepInclude(yield* hidden.call("get"), { token: "access-1", isValid: true })
        assert.deepInclude(yield* hidden.call("renew"), { token: "access-2", isValid: true })
        assert.deepStrictEqual(site.ledger.refreshTokens, ["refresh-1"])
      })
    )

    it.effect("after the machine slept past the expiry, several tabs make one renewal", () =>
      Effect.gen(function* () {
        const site = yield* makeSite
        const tabs = yield* all(Array.from({ length: 4 }, () => open(site, {}, { before: asleep })))
        yield* tabs[0]!.signIn
        yield* all(tabs.map((tab) => tab.call("get")))
        yield* all(tabs.map((tab) => tab.evaluate("sleepFor(8 * 3_600_000)", Schema.Unknown)))
        for (const told of yield* all(tabs.map((tab) => tab.call("get"))))
          assert.deepInclude(told, { token: "access-2", isValid: true })
        assert.deepStrictEqual(site.ledger.refreshTokens, ["refresh-1"])
      })
    )

    it.effect("a page without rights to storage keeps its session in memory", () =>
      Effect.gen(function* () {
        const site = yield* makeSite
        // A sandboxed page has an origin of its own, so its requests name the server.
        const tab = yield* open(site, { sandboxed: "" })
        yield* tab.signIn
        assert.deepInclude(yield* tab.call("get"), { token: "access-1" })
        const warnings = (yield* tab.complaints).map(({ text }) => text).filter((text) => text.includes("session"))
        assert.lengthOf(warnings, 1)
        assert.include(warnings[0], "This page can't keep a session (SecurityError)")
        yield* tab.reload
        assert.deepInclude(yield* (yield* asTab(tab)).call("get"), { reason: "InteractionRequired", session: "none" })
      })
    )

    it.effect("a database that is deleted under the tabs blocks nobody, and open tabs restore their session", () =>
      Effect.gen(function* () {
        const site = yield* makeSite
        const [tab, other] = yield* all([open(site), open(site)])
        yield* tab.signIn
        yield* all([tab.call("get"), other.call("get")])
        const deleted = yield* other.evaluate(
          `new Promise((resolve, reject) => {
            const deleting = indexedDB.deleteDatabase("test:v2")
            deleting.onsuccess = () => resolve(true)
            deleting.onblocked = () => reject(new Error("blocked"))
          })`,
          Schema.Boolean
        )
        assert.isTrue(deleted)
        assert.deepInclude(yield* tab.call("renew"), { token: "access-2" })
        yield* other.reload
        assert.deepInclude(yield* (yield* asTab(other)).call("get"), { token: "access-2" })
        assertSentOnce(site.ledger)
      })
    )

    it.effect("a session whose key is gone has ended, and the user can sign in again", () =>
      Effect.gen(function* () {
        const site = yield* makeSite
        const tab = yield* open(site)
        yield* tab.signIn
        yield* tab.evaluate(
          `new Promise((resolve, reject) => {
            const opening = indexedDB.open("test:v2")
            opening.onsuccess = () => {
              const transaction = opening.result.transaction("keys", "readwrite")
              transaction.objectStore("keys").clear()
              transaction.oncomplete = () => resolve(opening.result.close())
            }
          })`,
          Schema.Unknown
        )
        yield* tab.reload
        const reloaded = yield* asTab(tab)
        assert.deepInclude(yield* reloaded.call("get"), { reason: "InteractionRequired", session: "ended" })
        yield* reloaded.signIn
        assert.deepInclude(yield* reloaded.call("get"), { token: "access-2" })
      })
    )

    it.effect("a script of the page finds no secret in the store, and a key that it can use and not read", () =>
      Effect.gen(function* () {
        const site = yield* makeSite
        const tab = yield* open(site)
        yield* tab.signIn
        const found = yield* tab.evaluate(
          `new Promise((resolve, reject) => {
            const opening = indexedDB.open("test:v2")
            opening.onsuccess = () => {
              const transaction = opening.result.transaction(["rows", "keys"])
              const rows = transaction.objectStore("rows").getAll()
              const keys = transaction.objectStore("keys").getAll()
              transaction.oncomplete = async () => {
                const [{ key }] = keys.result
                const raw = await crypto.subtle.exportKey("raw", key).catch(({ name }) => name)
                resolve({ rows: JSON.stringify(rows.result), raw, usages: key.usages })
              }
            }
          })`,
          Schema.Struct({ rows: Schema.String, raw: Schema.String, usages: Schema.Array(Schema.String) })
        )
        assert.include(found.rows, '"version":1')
        assert.notMatch(found.rows, /access-1|refresh-1/)
        assert.deepInclude(found, { raw: "InvalidAccessError", usages: ["encrypt", "decrypt"] })
      })
    )
  })
})
