/**
 * The record of a sandbox: counts, and one entry per request, without secrets.
 */

/** One request as received, without bodies, credentials and query values. */
export interface Entry {
  /** Arrival, in epoch milliseconds on the layer's clock. */
  readonly at: number
  readonly method: string
  /** Path without query; every secret the server knows is replaced. */
  readonly path: string
  /** Names of the query parameters, in order. */
  readonly query: ReadonlyArray<string>
  /** Status of the response; undefined while it is pending, or if it was never sent. */
  readonly status: number | undefined
  /** From arrival until the response was ready or the connection broke, in milliseconds on the layer's clock; undefined until then. */
  readonly duration: number | undefined
  /** Kind of the injected fault that was served. */
  readonly fault: string | undefined
  /** `bearer #n` for the n-th access token issued, `basic`, `unknown bearer`, `malformed` or `none`. */
  readonly credential: string
  readonly hadAuthorization: boolean
  /** Selected headers (`recordedHeaders`), lower-case names, secrets replaced. */
  readonly headers: Readonly<Record<string, string>>
}

/** A snapshot. Counts cover everything since the layer was built; `entries` keeps the latest `entryLimit`. */
export interface Ledger {
  /** Requests to the API: neither logins nor refreshes nor CORS preflights. */
  readonly requests: number
  /** Logins received. */
  readonly logins: number
  /** Refreshes received. */
  readonly refreshes: number
  /** Logins that issued tokens, whether or not the response arrived. */
  readonly loginsAccepted: number
  /** Refreshes that issued tokens, whether or not the response arrived. */
  readonly refreshesAccepted: number
  /** 401 responses to API requests. */
  readonly unauthorized: number
  /** Responses by status, including those to logins and refreshes. */
  readonly responses: Readonly<Record<number, number>>
  /** Labels of refresh tokens that were received more than once, even if a fault ate the response. */
  readonly refreshTokensSentTwice: ReadonlyArray<string>
  /** API requests whose access token was past its own `exp` on the server's clock. */
  readonly expiredTokensReceived: number
  /** The highest number of parallel exchanges (logins and refreshes). */
  readonly peakConcurrentExchanges: number
  readonly entries: ReadonlyArray<Entry>
}

/** Headers that an entry keeps. None of them carries a credential. */
export const recordedHeaders: ReadonlyArray<string> = [
  "accept",
  "av-origin-app",
  "av-origin-client",
  "av-origin-sdk",
  "b3",
  "content-range",
  "content-type",
  "mi24-upload-current-chunk",
  "mi24-upload-total-chunks",
  "origin",
  "traceparent",
  "user-agent"
]

/** How many entries are kept, so that a sandbox can run for days. */
export const entryLimit = 50_000

/** An entry that is not complete yet. The code that responds to the request fills it in. */
export interface OpenEntry {
  at: number
  method: string
  path: string
  query: ReadonlyArray<string>
  status: number | undefined
  duration: number | undefined
  fault: string | undefined
  credential: string
  hadAuthorization: boolean
  headers: Readonly<Record<string, string>>
}

/** Makes the writing side. It is synchronous, so that nobody sees half of a count. */
export const make = () => {
  const counts = {
    requests: 0,
    logins: 0,
    refreshes: 0,
    loginsAccepted: 0,
    refreshesAccepted: 0,
    unauthorized: 0,
    expiredTokensReceived: 0,
    peakConcurrentExchanges: 0
  }
  const responses: Record<number, number> = {}
  const sentTwice = new Set<string>()
  const words = new Set<string>()
  const phrases = new Set<string>()
  let entries: Array<OpenEntry> = []
  let exchanges = 0

  const scrub = (text: string): string => {
    let clean = text
    // Words are looked up; only secrets with blanks and the like need a search of the text, and those are few.
    for (const phrase of phrases) clean = clean.replaceAll(phrase, "<redacted>")
    return clean.replace(/[\w.-]+/g, (word) => (words.has(word) ? "<redacted>" : word))
  }

  return {
    counts,
    scrub,
    /** Remembers a value that no entry may show. */
    conceal: (secret: string) => {
      if (secret !== "") (/[^\w.-]/.test(secret) ? phrases : words).add(secret)
    },
    open: (entry: OpenEntry) => {
      entries.push(entry)
      if (entries.length > entryLimit + 1_000) entries = entries.slice(-entryLimit)
    },
    answered: (entry: OpenEntry, status: number) => {
      entry.status = status
      responses[status] = (responses[status] ?? 0) + 1
    },
    sentTwice: (label: string) => {
      sentTwice.add(label)
    },
    exchangeStarted: () => {
      counts.peakConcurrentExchanges = Math.max(counts.peakConcurrentExchanges, ++exchanges)
    },
    exchangeEnded: () => {
      exchanges--
    },
    snapshot: (): Ledger => ({
      ...counts,
      responses: { ...responses },
      refreshTokensSentTwice: [...sentTwice],
      entries: structuredClone(entries.slice(-entryLimit))
    })
  }
}

/** The writing side, see `make`. */
export type Recorder = ReturnType<typeof make>
