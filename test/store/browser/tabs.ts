/** A site whose pages share a session through the store of pages, and tabs of a real browser that show it. */
import { assert } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as Chromium from "../../support/chromium.ts"
import { listen } from "../../support/listen.ts"
import { bundlePage } from "../../support/bundle.ts"

const folder = import.meta.dirname

/** Runs before a page's own program: the timers and clocks of a tab in the background. */
export const throttled = readFileSync(join(folder, "throttled.js"), "utf8")

/** The page's program, made once. */
const bundle = Effect.runSync(Effect.cached(bundlePage(join(folder, "page.ts"))))

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

export interface Site {
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

export const makeSite = Effect.gen(function* () {
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

export class Browser extends Context.Service<Browser, Chromium.Chromium>()("test/Browser") {}
export const BrowserLive = Layer.effect(Browser, Chromium.make)

const Told = Schema.Struct({
  token: Schema.optional(Schema.String),
  generation: Schema.optional(Schema.Number),
  isValid: Schema.optional(Schema.Boolean),
  reason: Schema.optional(Schema.String),
  session: Schema.optional(Schema.String),
  problem: Schema.optional(Schema.String)
})

const State = Schema.Struct({ phase: Schema.String, degraded: Schema.Boolean })

export interface Tab extends Chromium.Page {
  readonly call: (method: "get" | "renew") => Effect.Effect<typeof Told.Type, Chromium.ChromiumError>
  readonly signIn: Effect.Effect<unknown, Chromium.ChromiumError>
  readonly state: Effect.Effect<typeof State.Type, Chromium.ChromiumError>
}

export const asTab = (page: Chromium.Page): Effect.Effect<Tab, Chromium.ChromiumError> => {
  const tab: Tab = {
    ...page,
    call: (method) => page.evaluate(`tab.${method}()`, Told),
    signIn: page.evaluate("tab.signIn()", Schema.Unknown),
    state: page.evaluate("tab.state()", State)
  }
  return Effect.as(page.waitFor("the program", "globalThis.tab === undefined ? null : true", Schema.Boolean), tab)
}

/** Opens a tab of a site. */
export const open = Effect.fnUntraced(function* (
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

export const all = <const Effects extends ReadonlyArray<Effect.Effect<unknown, unknown, unknown>>>(effects: Effects) =>
  Effect.all(effects, { concurrency: "unbounded" })

export const assertSentOnce = ({ refreshTokens }: Ledger) =>
  assert.strictEqual(new Set(refreshTokens).size, refreshTokens.length, refreshTokens.join(" "))

/** Tabs that wait for each other as short as they may, because a test waits for them. */
export const quick = { login: "", lease: "300" }
