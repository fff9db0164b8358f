/** The server that OAuth tests run against, seen from a real browser. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as Chromium from "../support/chromium.ts"
import { listen } from "../support/listen.ts"
import * as OidcProvider from "../support/oidcProvider.ts"
import { bundlePage } from "../support/bundle.ts"

const html = `<!doctype html><meta charset="utf-8"><title>Page</title><link rel="icon" href="data:,">
<script type="module" src="/page.js"></script>
<h1>A page</h1><button>Sign in</button><p><output></output></p>`

const bundle = bundlePage(fileURLToPath(new URL("browser/page.ts", import.meta.url)))

/** A page at the root of an origin of its own, and a browser that has it open. */
const setup = Effect.gen(function* () {
  const provider = yield* OidcProvider.make()
  const { serve, url } = yield* listen
  const script = yield* bundle
  serve((request, response) => {
    const isScript = request.url === "/page.js"
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html").end(isScript ? script : html)
  })
  const chromium = yield* Chromium.make
  const { issuer, whoami } = provider
  const settings = new URLSearchParams({ issuer, whoami, client_id: provider.clients.none.clientId })
  const page = yield* chromium.open(`${url}/#${settings}`)
  yield* page.waitForText("Ready")
  return { provider, page, url }
})

describe.skipIf(Chromium.isSkipped)(Chromium.named("a page in Chromium"), () => {
  it.live("signs in on the server's pages, trades the code, and calls the protected resource", () =>
    Effect.gen(function* () {
      const { page, provider, url } = yield* setup
      yield* page.click("button")
      yield* page.fill("input[name=login]", "berta")
      yield* page.fill("input[name=password]", "any")
      yield* page.screenshot("login")
      yield* page.click("button[type=submit]")
      yield* page.waitForText("Authorize")
      yield* page.screenshot("consent")
      yield* page.click("button[type=submit]")
      yield* page.waitForText("Signed in as berta")
      const screenshot = readFileSync(yield* page.screenshot("signed-in"))
      assert.strictEqual(screenshot.subarray(1, 4).toString(), "PNG")
      assert.strictEqual(yield* page.url, `${url}/`)
      const { apiRequests, serverErrors, tokenRequests } = yield* provider.ledger
      assert.deepStrictEqual({ apiRequests, serverErrors }, { apiRequests: [200], serverErrors: [] })
      assert.deepStrictEqual(
        tokenRequests.map(({ authentication, clientId, grantType, status }) => ({
          authentication,
          clientId,
          grantType,
          status
        })),
        [{ authentication: "none", clientId: "public", grantType: "authorization_code", status: 200 }]
      )
      const complaints = yield* page.complaints
      const isOurs = (complaint: Chromium.Complaint) => complaint.url === "" || complaint.url.startsWith(url)
      assert.deepStrictEqual(complaints.filter(isOurs), [])
    })
  )

  // Names under localhost lead to this machine wherever there is no rule against it, also without a network.
  it.live("knows no name but localhost", () =>
    Effect.gen(function* () {
      const { page, url } = yield* setup
      yield* page.goto(url.replace("127.0.0.1", "localhost"))
      const { message } = yield* Effect.flip(page.goto(url.replace("127.0.0.1", "other.localhost")))
      assert.include(message, "ERR_NAME_NOT_RESOLVED")
    })
  )

  it.live("is told that the user cancelled", () =>
    Effect.gen(function* () {
      const { page, provider } = yield* setup
      yield* page.click("button")
      yield* page.click("a[href$=abort]")
      yield* page.waitForText("Refused: access_denied")
      assert.deepStrictEqual((yield* provider.ledger).tokenRequests, [])
    })
  )
})
