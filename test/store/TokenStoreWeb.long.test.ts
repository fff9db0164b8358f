/** Tabs of a real browser that were in the background for long, or slept. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema } from "effect"
import * as Chromium from "../support/chromium.ts"
import {
  all,
  assertSentOnce,
  Browser,
  BrowserLive,
  makeSite,
  open,
  quick,
  type Tab,
  throttled
} from "./browser/tabs.ts"

describe.skipIf(Chromium.isSkipped)(Chromium.named("web: tabs of Chromium, for long"), () => {
  it.layer(BrowserLive, { excludeTestServices: true, timeout: "2 minutes" })((it) => {
    it.effect("45 minutes in the background, with timers once a minute: tokens stay fresh, and one tab renews", () =>
      Effect.gen(function* () {
        const site = yield* makeSite
        site.lifetime = 600_000
        const settings = { login: "", "keep-fresh": "" }
        const tabs = yield* all(Array.from({ length: 3 }, () => open(site, settings, { before: throttled })))
        yield* all(tabs.map((tab) => tab.call("get")))
        const isQuiet = (tab: Tab) =>
          tab.waitFor(
            "the end of a renewal",
            "tab.state().then(({ phase }) => (phase === 'renewing' ? null : phase))",
            Schema.String
          )
        for (let minute = 1; minute <= 45; minute++) {
          // Each tab's timers run at another moment of the minute.
          for (const tab of tabs) {
            yield* isQuiet(tab)
            yield* tab.evaluate("minutes.pass()", Schema.Unknown)
            yield* isQuiet(tab)
          }
          for (const told of yield* all(tabs.map((tab) => tab.call("get"))))
            assert.deepInclude(told, { isValid: true }, `minute ${minute}`)
        }
        // Each token is renewed in the last quarter of its 10 minutes.
        assert.isAtLeast(site.ledger.refreshTokens.length, 4)
        assert.isAtMost(site.ledger.refreshTokens.length, 6)
        assertSentOnce(site.ledger)
        assert.deepInclude(site.ledger, { logins: 1, peak: 1 })
      })
    )

    it.effect("a browser that is stopped during a refresh, for longer than one may take, keeps the response", () =>
      Effect.gen(function* () {
        const site = yield* makeSite
        const chromium = yield* Browser
        const settings = { ...quick, "exchange-timeout": "500" }
        const [tab, other] = yield* all([open(site, settings), open(site, settings)])
        yield* all([tab.call("get"), other.call("get")])
        site.hold()
        const renewing = yield* Effect.forkChild(tab.call("renew"))
        yield* site.held(1)
        yield* chromium.setStopped(true)
        site.answer()
        // Longer than the lease and the exchange may last. A stopped browser counts the time.
        yield* Effect.sleep("1 second")
        yield* chromium.setStopped(false)
        assert.deepInclude(yield* Fiber.join(renewing), { token: "access-2", isValid: true })
        assert.deepInclude(yield* other.call("renew"), { isValid: true })
        assertSentOnce(site.ledger)
        assert.strictEqual(site.ledger.logins, 1)
      })
    )
  })
})
