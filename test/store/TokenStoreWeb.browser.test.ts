/** Tabs of a real browser that share a session through the store of pages. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema } from "effect"
import * as Chromium from "../support/chromium.ts"
import { all, asTab, assertSentOnce, Browser, BrowserLive, makeSite, open, quick, throttled } from "./browser/tabs.ts"

/** Sets the wall clock on, and not the monotonic one, which stands still on most machines that sleep. */
const asleep = `{
  const wall = Date.now.bind(Date)
  let slept = 0
  Date.now = () => wall() + slept
  globalThis.sleepFor = (millis) => void (slept += millis)
}`

/** The same for a session that a person began: a tab that lost its refresh token can't log in. */
const session = { lease: "300" }

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

    it.effect(
      "a tab that is frozen during a refresh blocks nobody; its late response is stored, and all go on with it",
      () =>
        Effect.gen(function* () {
          const site = yield* makeSite
          const [frozen, other] = yield* all([open(site, session, { before: throttled }), open(site, session)])
          yield* frozen.signIn
          yield* all([frozen.call("get"), other.call("get")])
          site.hold()
          const asking = yield* Effect.forkChild(frozen.call("renew"))
          yield* site.held(1)
          yield* frozen.setFrozen(true)
          // The other tab has a token, and can't know whether the refresh token was used.
          assert.deepInclude(yield* other.call("get"), { token: "access-1" })
          assert.deepInclude(yield* other.call("renew"), { reason: "AmbiguousExchange" })
          site.answer()
          yield* frozen.setFrozen(false)
          assert.deepInclude(yield* Fiber.join(asking), { token: "access-2" })
          yield* other.reload
          assert.deepInclude(yield* (yield* asTab(other)).call("get"), { token: "access-2" })
          assert.deepStrictEqual(site.ledger.refreshTokens, ["refresh-1"])
        })
    )

    it.effect("a tab that crashes during a refresh ends the session once its response can't come any more", () =>
      Effect.gen(function* () {
        const site = yield* makeSite
        const [crashing, other] = yield* all([open(site, session), open(site, session, { before: asleep })])
        yield* crashing.signIn
        yield* all([crashing.call("get"), other.call("get")])
        site.hold()
        yield* Effect.forkChild(Effect.exit(crashing.call("renew")))
        yield* site.held(1)
        yield* crashing.crash
        assert.deepInclude(yield* other.call("renew"), { reason: "AmbiguousExchange" })
        // Longer than an exchange may take.
        yield* other.evaluate("sleepFor(60_000)", Schema.Unknown)
        const ended = yield* other.waitFor(
          "the end of the session",
          "tab.renew().then(({ reason, session }) => (reason === 'InteractionRequired' ? session : null))",
          Schema.String
        )
        assert.strictEqual(ended, "ended")
        assert.deepInclude(yield* other.call("get"), { token: "access-1", isValid: true })
        site.answer()
        yield* other.signIn
        assert.deepInclude(yield* other.call("get"), { token: "access-3" })
        assert.deepStrictEqual(site.ledger.refreshTokens, ["refresh-1"])
      })
    )

    it.effect("a tab that crashes during a refresh costs the others a login, if they can log in", () =>
      Effect.gen(function* () {
        const site = yield* makeSite
        const [crashing, ...others] = yield* all([open(site, quick), open(site, quick), open(site, quick)])
        yield* all([crashing, ...others].map((tab) => tab.call("get")))
        site.hold()
        yield* Effect.forkChild(Effect.exit(crashing.call("renew")))
        yield* site.held(1)
        yield* crashing.crash
        const renewing = yield* Effect.forkChild(all(others.map((tab) => tab.call("renew"))))
        yield* site.held(2)
        site.answer()
        for (const told of yield* Fiber.join(renewing)) assert.deepInclude(told, { token: "access-3" })
        assert.deepInclude(site.ledger, { logins: 2, refreshTokens: ["refresh-1"] })
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

    it.effect("a full disk is reported by name; the page goes on alone, and stores its token once there is room", () =>
      Effect.gen(function* () {
        const site = yield* makeSite
        // A page of the site that stores nothing. The limit is the site's.
        const disk = yield* (yield* Browser).open(`${site.url}/page.js`)
        yield* disk.setQuota(1)
        const tab = yield* open(site, quick)
        assert.deepInclude(yield* tab.call("get"), { token: "access-1", isValid: true })
        assert.deepInclude(yield* tab.state, { phase: "valid", degraded: true })
        const warnings = (yield* tab.complaints).map(({ text }) => text).filter((text) => text.includes("Continuing"))
        assert.lengthOf(warnings, 1)
        assert.include(warnings[0], "QuotaExceededError). Free storage on this device. Continuing without it.")
        // What needs the store fails, and a tab with a valid token makes no exchange whose result it could not share.
        assert.deepInclude(yield* tab.call("renew"), { reason: "StoreUnavailable", problem: "QuotaExceededError" })
        assert.deepInclude(yield* tab.call("get"), { token: "access-1", isValid: true })
        yield* disk.setQuota(undefined)
        yield* tab.waitFor("room", "tab.renew().then(({ token }) => token ?? null)", Schema.String)
        assert.deepInclude(yield* tab.state, { degraded: false })
        const { token } = yield* tab.call("get")
        assert.deepInclude(yield* (yield* open(site, quick)).call("get"), { token })
        assertSentOnce(site.ledger)
        assert.strictEqual(site.ledger.logins, 1)
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
