/** Ways to break what the ten guarantees say of every platform. */
import type { Mutant } from "./mutant.ts"

const exchange = "src/token/internal/exchange.ts"
const row = "src/token/shared/storeRow.ts"
const rules = "src/token/internal/storeRules.ts"
const protocol = "src/token/internal/storeProtocol.ts"
const client = "src/platform/BearerClient.ts"

const guarantee = (name: string) => [`test/guarantees/${name}.test.ts`]

export const ofGuarantees: ReadonlyArray<Mutant> = [
  // 1. One exchange in flight per identity.
  {
    breaks: 1,
    name: "the lease is not exclusive",
    file: row,
    edits: [["row.revision === revision\n      ? changed", "row.revision > -1\n      ? changed"]],
    tests: ["test/token/TokenStore.test.ts"]
  },
  // 2. `get` never returns a token that has expired.
  {
    breaks: 2,
    name: "issued when the answer came",
    file: exchange,
    edits: [["elapsed: Number(clock.monotonicTimeNanosUnsafe() - start) / 1e6", "elapsed: start > 0n ? 0 : 0"]],
    tests: guarantee("never-expired")
  },
  // 4. A rotating refresh token is sent at most once.
  {
    breaks: 4,
    name: "the store's mark does not keep others from sending",
    file: row,
    edits: [
      ["return sent === undefined || sent.attempt === attempt\n", 'return sent === undefined || sent.attempt !== ""\n']
    ],
    tests: ["test/token/TokenStore.test.ts"]
  },
  {
    breaks: 4,
    name: "a marked refresh token is sent",
    file: rules,
    edits: [["rotates && (sent !== undefined || isSetBack)", "rotates && isSetBack"]],
    tests: guarantee("refresh-token-once")
  },
  {
    breaks: 4,
    name: "a mark is always taken back",
    file: protocol,
    edits: [["if (marks) unused = false", "if (marks) unused = true"]],
    tests: guarantee("refresh-token-once")
  },
  {
    breaks: 4,
    name: "a refresh token whose commit was asked for is sent from here as well",
    file: protocol,
    edits: [["own !== undefined && !own.isAsked && !(", "own !== undefined && !("]],
    tests: guarantee("refresh-token-once")
  },
  {
    breaks: 4,
    name: "the refresh token is kept after an ambiguous response",
    file: exchange,
    edits: [
      [
        '  wasNeverSent(reason) ||\n  (reason._tag === "RateLimited" && reason',
        '  wasNeverSent(reason) ||\n  reason._tag === "AmbiguousExchange" ||\n  (reason._tag === "RateLimited" && reason'
      ]
    ],
    tests: guarantee("refresh-token-once")
  },
  {
    breaks: 4,
    name: "the refresh token is kept after any 5xx",
    file: exchange,
    edits: [["reason.status === 503 && ", ""]],
    tests: guarantee("refresh-token-once")
  },
  {
    breaks: 4,
    name: "a late response is thrown away",
    file: row,
    edits: [
      ["  return row.version === version\n", "  return row.version === version && row.lease?.attempt === attempt\n"]
    ],
    tests: ["test/token/TokenStore.test.ts"]
  },
  // 10. Nothing but a 401 of ours, about our token, renews.
  {
    breaks: 10,
    name: "the token goes to any origin",
    file: client,
    edits: [["&& isOurs(request) && anonymous?.(request) !== true", "&& anonymous?.(request) !== true"]],
    tests: ["test/platform/BearerClient.test.ts"]
  },
  {
    breaks: 10,
    name: "a 403 renews",
    file: client,
    edits: [["response.status === 401 &&", "(response.status === 401 || response.status === 403) &&"]],
    tests: ["test/platform/BearerClient.test.ts"]
  },
  {
    breaks: 10,
    name: "a 401 about scope renews",
    file: client,
    edits: [["isAnsweredByOurs(response) &&\n    !isAboutScope(response)", "isAnsweredByOurs(response)"]],
    tests: ["test/platform/BearerClient.test.ts"]
  }
]
