/** Ways to break what the ten guarantees say of every platform. */
import type { Mutant } from "./mutant.ts"

const engine = "src/token/internal/engine.ts"
const actor = "src/token/internal/actor.ts"
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
    name: "demand is not shared",
    file: engine,
    edits: [
      [
        "if (round === undefined) {\n      round = {",
        "if (round === undefined || trigger !== round.trigger) {\n      round = {"
      ]
    ],
    tests: guarantee("one-exchange")
  },
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
    name: "no second look after the wait",
    file: engine,
    edits: [["? Effect.suspend(() => this.#look(tries - 1))", "? outcome"]],
    tests: guarantee("never-expired")
  },
  {
    breaks: 2,
    name: "no check on the monotonic clock",
    file: engine,
    edits: [
      [
        "Math.min(held.token.expiresAt - this.#wallNow(), held.deadline - this.#now())",
        "held.token.expiresAt - this.#wallNow()"
      ]
    ],
    tests: guarantee("never-expired")
  },
  {
    breaks: 2,
    name: "issued when the answer came",
    file: exchange,
    edits: [["elapsed: Number(clock.monotonicTimeNanosUnsafe() - start) / 1e6", "elapsed: start > 0n ? 0 : 0"]],
    tests: guarantee("never-expired")
  },
  {
    breaks: 2,
    name: "what the store gives is held whatever its age",
    file: engine,
    edits: [["const left = Math.min(token.expiresAt - this.#wallNow(), lifetime)", "const left = lifetime"]],
    tests: model
  },
  // 3. While the held token is valid, no failing renewal fails a caller of `get`.
  {
    breaks: 3,
    name: "no static stability",
    file: engine,
    edits: [
      [
        "if (current !== undefined) return current.exit\n    return Exit",
        "if (current !== undefined && Exit.isSuccess(outcome)) return current.exit\n    return Exit"
      ]
    ],
    tests: guarantee("static-stability")
  },
  {
    breaks: 3,
    name: "a rejected token is dropped",
    file: engine,
    edits: [["current.suspect = true\n    this.#quietUntil", "this.#held = undefined\n    this.#quietUntil"]],
    tests: model
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
  // 5. A cancelled caller loses nothing; a closed scope leaves nothing.
  {
    breaks: 5,
    name: "the exchange is interrupted with its caller",
    file: engine,
    edits: [
      [
        "Effect.exit(inTime)",
        "Effect.exit(Effect.onInterrupt(inTime, () => this.#exchanging === undefined ? Effect.void : Fiber.interrupt(this.#exchanging)))"
      ]
    ],
    tests: guarantee("cancelled-callers")
  },
  {
    breaks: 5,
    name: "closing the scope leaves those who wait",
    file: engine,
    edits: [
      [
        "yield* Fiber.interrupt(this.#leaving)\n      this.#settle(Exit.interrupt())",
        "yield* Fiber.interrupt(this.#leaving)"
      ]
    ],
    tests: guarantee("cancelled-callers")
  },
  {
    breaks: 5,
    name: "closing the scope leaves the request",
    file: engine,
    edits: [["        yield* Fiber.interrupt(exchanging)\n", ""]],
    tests: guarantee("cancelled-callers")
  },
  {
    breaks: 5,
    name: "an attempt can be cut before it begins",
    file: engine,
    edits: [["{ uninterruptible: true }", "{ uninterruptible: false }"]],
    tests: model
  },
  {
    breaks: 5,
    name: "a signed-out service logs in for nobody",
    file: engine,
    edits: [["if (this.#round !== undefined) this.#round.isVoid = true\n      this.#settle(Exit.interrupt())\n", ""]],
    tests: model
  },
  // 6. Fatal failures are typed, cached briefly, never hammered.
  {
    breaks: 6,
    name: "fatal failures are not cached",
    file: engine,
    edits: [["fatal || until > now ?", "!fatal && until > now ?"]],
    tests: guarantee("fatal-failures")
  },
  {
    breaks: 6,
    name: "fatal failures are cached for ever",
    file: engine,
    edits: [
      ["(fatal ? policy.fatalFor * (1 + random.nextDoubleUnsafe()) : retryAfter)", "(fatal ? Infinity : retryAfter)"]
    ],
    tests: guarantee("fatal-failures")
  },
  // 7. A 401 renews only if the rejected token is still the current one.
  {
    breaks: 7,
    name: "reject does not compare",
    file: engine,
    edits: [["|| !AccessToken.isSameCredential(current.token, token)", ""]],
    tests: guarantee("rejected-tokens")
  },
  {
    breaks: 7,
    name: "a rejected token is not suspect",
    file: engine,
    edits: [["current.suspect = true\n    this.#quietUntil", "this.#quietUntil"]],
    tests: guarantee("rejected-tokens")
  },
  {
    breaks: 7,
    name: "no storm breaker",
    file: engine,
    edits: [["this.#rejections.length >= this.#env.policy.stormLimit", "this.#rejections.length === Infinity"]],
    tests: guarantee("rejected-tokens")
  },
  // 8. The scheduler is suspend-safe, never gives up, ends with its scope.
  {
    breaks: 8,
    name: "cool-down on the wall clock",
    file: engine,
    edits: [
      ["this.#failedAt = this.#now()", "this.#failedAt = this.#wallNow()"],
      ["const own = this.#failedAt +", "const own = this.#failedAt - this.#wallNow() + this.#now() +"]
    ],
    tests: model
  },
  {
    breaks: 8,
    name: "the scheduler gives up after a failure",
    file: engine,
    edits: [["if (!isKeptFresh(this.#env) ||", "if (!isKeptFresh(this.#env) || this.#failures > 0 ||"]],
    tests: guarantee("scheduler")
  },
  {
    breaks: 8,
    name: "no tick",
    file: actor,
    edits: [["Math.min(wait, tick)", "wait"]],
    tests: guarantee("scheduler")
  },
  {
    breaks: 8,
    name: "no cool-down while the token is valid",
    file: engine,
    edits: [["this.#longPause = this.#jitter(this.#env.policy.coolDown)", "this.#longPause = 0"]],
    tests: guarantee("scheduler")
  },
  // 9. No secret anywhere.
  {
    breaks: 9,
    name: "the error carries the token",
    file: engine,
    edits: [
      [
        'import * as Fiber from "effect/Fiber"',
        'import * as Fiber from "effect/Fiber"\nimport * as Redacted from "effect/Redacted"'
      ],
      [
        "new TokenError.TokenError({ provider: this.provider.name, reason, validUntil })",
        "new TokenError.TokenError({ provider: validUntil === undefined ? this.provider.name : Redacted.value(this.#held!.token.accessToken), reason, validUntil })"
      ]
    ],
    tests: guarantee("no-secrets")
  },
  {
    breaks: 9,
    name: "the event carries the token",
    file: engine,
    edits: [
      [
        'import * as Fiber from "effect/Fiber"',
        'import * as Fiber from "effect/Fiber"\nimport * as Redacted from "effect/Redacted"'
      ],
      ["duration, age, expiresAt })", "duration, age, expiresAt, token: Redacted.value(token.accessToken) })"]
    ],
    tests: guarantee("no-secrets")
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
