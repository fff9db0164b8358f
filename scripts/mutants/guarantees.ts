/** Ways to break what the ten guarantees say of every platform. */
import type { Mutant } from "./mutant.ts"

const exchange = "src/token/internal/exchange.ts"
const store = "src/token/TokenStore.ts"
const client = "src/platform/BearerClient.ts"

/** Only a program that nobody thought of notices. */
const model = ["test/model"]
const guarantee = (name: string) => [`test/guarantees/${name}.test.ts`]

export const ofGuarantees: ReadonlyArray<Mutant> = [
  // 1. One exchange in flight per identity.
  {
    breaks: 1,
    name: "the lease is not exclusive",
    file: store,
    edits: [["if (lease !== undefined && now() < lease.until)", "if (lease !== undefined && false)"]],
    tests: model
  },
  {
    breaks: 1,
    name: "no fence on commit",
    file: store,
    edits: [["if (!holds(record, { owner, fence })) return false", ""]],
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
    name: "the refresh token is kept after an ambiguous answer",
    file: exchange,
    edits: [
      ["if (neverSent(refused) || over", 'if (refused._tag === "AmbiguousExchange" || neverSent(refused) || over']
    ],
    tests: guarantee("refresh-token-once")
  },
  {
    breaks: 4,
    name: "the refresh token is kept after a 503",
    file: exchange,
    edits: [
      ["lease.spent = traits.rotatesRefreshToken && login !== undefined && !neverSent(refused)", "lease.spent = false"]
    ],
    tests: guarantee("refresh-token-once")
  },
  {
    breaks: 4,
    name: "the refresh token is marked after it was sent",
    file: exchange,
    edits: [
      ['lease.spent = true\n      sending("refresh")', 'sending("refresh")'],
      ["let answer = yield* once\n", "let answer = yield* once\n      lease.spent = true\n"]
    ],
    tests: model
  },
  {
    breaks: 4,
    name: "the refresh token of a dead holder is sent again",
    file: store,
    edits: [["generation, spent: orphaned }", "generation, spent: false }"]],
    tests: guarantee("refresh-token-once")
  },
  {
    breaks: 4,
    name: "without a store nobody remembers what was sent",
    file: exchange,
    edits: [["spent = Exit.isFailure(exit) && lease.spent", "spent = false"]],
    tests: guarantee("refresh-token-once")
  },
  {
    breaks: 4,
    name: "a refresh token that never left is dropped",
    file: exchange,
    edits: [["if (neverSent(refused) || over", "if (over"]],
    tests: guarantee("refresh-token-once")
  },
  {
    breaks: 4,
    name: "a session ends with an answer that is not about its refresh token",
    file: exchange,
    edits: [["(login === undefined && !consuming.test(refused._tag))", "false"]],
    tests: guarantee("refresh-token-once")
  },
  // 10. Nothing but a 401 of ours, about our token, renews.
  {
    breaks: 10,
    name: "the token goes to any origin",
    file: client,
    edits: [["&& isOurs(request) && !anonymous(request)", "&& !anonymous(request)"]],
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
