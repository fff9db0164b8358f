/** Somebody at a browser, as a script over plain HTTP: follows redirects by hand, keeps cookies, fills in forms. */
import { Data, Effect } from "effect"

/** The pages led elsewhere than the script was meant to go. */
export class BrowserError extends Data.TaggedError("BrowserError")<{ readonly message: string }> {}

interface Cookie {
  readonly name: string
  readonly value: string
  readonly path: string
}

/** The cookies of one browser, to keep somebody signed in from one visit to the next. All of them are of one host. */
export class Cookies {
  readonly #cookies = new Map<string, Cookie>()

  header(path: string): string {
    return [...this.#cookies.values()]
      .filter((cookie) => path === cookie.path || path.startsWith(cookie.path.replace(/\/?$/, "/")))
      .map(({ name, value }) => `${name}=${value}`)
      .join("; ")
  }

  receive(response: Response): void {
    for (const line of response.headers.getSetCookie()) {
      const [pair = "", ...attributes] = line.split(/;\s*/)
      const equals = pair.indexOf("=")
      const [name, value] = [pair.slice(0, equals), pair.slice(equals + 1)]
      const attribute = (wanted: string) =>
        attributes.find((text) => text.toLowerCase().startsWith(`${wanted}=`))?.slice(wanted.length + 1)
      const path = attribute("path") ?? "/"
      const expires = attribute("expires")
      // One that has the same name and another path is another cookie.
      const key = `${name} ${path}`
      if (expires !== undefined && Date.parse(expires) <= Date.now()) this.#cookies.delete(key)
      else this.#cookies.set(key, { name, value, path })
    }
  }
}

interface Page {
  readonly url: URL
  readonly status: number
  readonly html: string
}

/** Where a visit ended: at a page without a way on, or at a redirect to another origin, which is not fetched. */
type Stop = { readonly page: Page } | { readonly redirect: URL }

interface Form {
  readonly action: URL
  readonly fields: URLSearchParams
}

/** What to do with a page: a form to send, or a URL to open. */
type Step = Form | URL

const entities: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'", "#x2F": "/" }
const unescape = (text: string): string => text.replace(/&(#?\w+);/g, (whole, name: string) => entities[name] ?? whole)

const attribute = (tag: string, name: string): string | undefined => {
  const value = new RegExp(`\\s${name}="([^"]*)"`).exec(tag)?.[1]
  return value === undefined ? undefined : unescape(value)
}

/**
 * The form of a page. Patterns are enough: the pages are oidc-provider's own and those of this folder, with one form each,
 * every attribute in double quotes and escaped, and no `<` or `>` in any value. A page that is otherwise fails the test.
 */
const formOf = ({ html, url }: Page): Form | undefined => {
  const form = /<form\s[^>]*>[\s\S]*?<\/form>/.exec(html)?.[0]
  if (form === undefined) return undefined
  const fields = new URLSearchParams()
  for (const [input] of form.matchAll(/<input\s[^>]*>/g)) {
    const name = attribute(input, "name")
    if (name !== undefined) fields.set(name, attribute(input, "value") ?? "")
  }
  return { action: new URL(attribute(form, "action") ?? "", url), fields }
}

/** The words of a page, for a person who has to find out why the script went astray. */
const wordsOf = ({ html, status, url }: Page): string => {
  const text = html.replace(/<(style|details)[\s\S]*?<\/\1>/g, "").replace(/<[^>]*>/g, " ")
  return `${url.pathname} answered ${status}: ${text.replace(/\s+/g, " ").trim()}`
}

const fail = (page: Page, what: string) => Effect.fail(new BrowserError({ message: `${what}; ${wordsOf(page)}` }))

const fetchPage = (step: Step, cookies: Cookies) =>
  Effect.tryPromise({
    try: async (signal): Promise<Stop | URL> => {
      const url = step instanceof URL ? step : step.action
      const response = await fetch(url, {
        ...(step instanceof URL ? {} : { method: "POST", body: step.fields }),
        headers: { accept: "text/html", cookie: cookies.header(url.pathname) },
        redirect: "manual",
        signal
      })
      cookies.receive(response)
      const html = await response.text()
      const location = response.headers.get("location")
      if (location === null) return { page: { url, status: response.status, html } }
      const next = new URL(location, url)
      return next.origin === url.origin ? next : { redirect: next }
    },
    catch: (cause) => new BrowserError({ message: `a page could not be fetched: ${cause}` })
  })

/** Opens a URL, and does on each page what `decide` says until it says nothing. */
const visit = Effect.fnUntraced(function* (start: URL, cookies: Cookies, decide: (page: Page) => Step | undefined) {
  let step: Step = start
  // More pages than any sign-in has: a script that goes round in circles ends.
  for (let pages = 0; pages < 30; pages++) {
    const stop: Stop | URL = yield* fetchPage(step, cookies)
    if (stop instanceof URL) {
      step = stop
    } else if ("redirect" in stop) {
      return stop
    } else {
      const next = decide(stop.page)
      if (next === undefined) return stop
      step = next
    }
  }
  return yield* new BrowserError({ message: `the pages from ${start.pathname} have no end` })
})

/** Who is at the browser, and what they answer. */
export interface Visitor {
  readonly login: string
  /** oidc-provider's own pages ask for one, and take any. Default `password`. */
  readonly password?: string | undefined
  /** False cancels where the page asks whether the client may. */
  readonly consent: boolean
  /** Default: a browser that has never been here. */
  readonly cookies?: Cookies | undefined
}

/** The pages of this folder say so when something went wrong. */
const isRefusal = ({ html }: Page): boolean => html.includes('class="refusal"')

/** What a visitor does on the pages for login and consent. */
const interact = (page: Page, { consent, login, password = "password" }: Visitor): Step | undefined => {
  const form = formOf(page)
  if (form === undefined) return undefined
  if (form.fields.has("login")) {
    form.fields.set("login", login)
    form.fields.set("password", password)
    return form
  }
  if (form.fields.get("prompt") !== "consent" || consent) return form
  const cancel = /href="([^"]*\/abort)"/.exec(page.html)?.[1]
  return cancel === undefined ? undefined : new URL(unescape(cancel), page.url)
}

/** Walks through login and consent, and gives the redirect back to the client, as it is and not fetched. */
export const signIn = Effect.fnUntraced(function* (authorizationUrl: string | URL, visitor: Visitor) {
  const cookies = visitor.cookies ?? new Cookies()
  const stop = yield* visit(new URL(authorizationUrl), cookies, (page) => interact(page, visitor))
  return "redirect" in stop ? stop.redirect : yield* fail(stop.page, "the sign-in ended without a redirect")
})

/** Where the page of the code is, and the code to type in where the link does not have it. */
interface Device {
  readonly verificationUri: string | URL
  readonly userCode?: string | undefined
}

/** Goes to the page for a device's code, and does what `decide` says once it asks whether that is the device. */
const visitDevice = Effect.fnUntraced(function* (
  { userCode, verificationUri }: Device,
  cookies: Cookies,
  decide: (page: Page, form: Form | undefined) => Step | undefined
) {
  const stop = yield* visit(new URL(verificationUri), cookies, (page) => {
    if (isRefusal(page)) return undefined
    const form = formOf(page)
    if (form?.fields.has("user_code") !== true || form.fields.has("confirm")) return decide(page, form)
    if (userCode !== undefined) form.fields.set("user_code", userCode)
    return form
  })
  return "page" in stop
    ? stop.page
    : yield* new BrowserError({ message: `the device pages left for ${stop.redirect.origin}` })
})

/** Enters a device's code, confirms it, and walks through login and consent; fails where the pages refuse. */
export const approveDevice = Effect.fnUntraced(function* (at: Device, visitor: Visitor) {
  const page = yield* visitDevice(at, visitor.cookies ?? new Cookies(), (page, form) =>
    form?.fields.has("confirm") ? form : interact(page, visitor)
  )
  if (isRefusal(page) || page.status !== 200) return yield* fail(page, "the device was not approved")
})

/** Enters a device's code, and says on the next page that the device is somebody else's. */
export const denyDevice = Effect.fnUntraced(function* (at: Device) {
  let hasDenied = false
  const page = yield* visitDevice(at, new Cookies(), (_, form) => {
    form?.fields.set("abort", "yes")
    hasDenied = form !== undefined
    return form
  })
  if (!hasDenied) return yield* fail(page, "the device was not denied")
})
