/** Ways to break the engine, its actor, its setback and the map. */
import type { Mutant } from "./mutant.ts"

const engine = "src/token/internal/engine.ts"
const credential = "src/token/internal/credential.ts"
const exchange = "src/token/internal/exchange.ts"
const phases = "src/token/internal/phase.ts"
const actor = "src/token/internal/actor.ts"
const agenda = "src/token/internal/agenda.ts"
const setback = "src/token/internal/setback.ts"
const storm = "src/token/internal/storm.ts"
const observers = "src/token/shared/observers.ts"
const map = "src/token/TokenServiceMap.ts"

/** Only a program that nobody thought of notices. */
const model = ["test/model"]
const guarantee = (name: string) => [`test/guarantees/${name}.test.ts`]
const ofService = ["test/token/TokenService.test.ts"]
const ofMap = ["test/token/TokenServiceMap.test.ts"]

export const ofEngine: ReadonlyArray<Mutant> = [
  // 1. One exchange in flight per identity.
  {
    breaks: 1,
    name: "demand is not shared",
    file: engine,
    edits: [["const round = (this.#round ??= {", "const round = (this.#round = {"]],
    tests: guarantee("one-exchange")
  },
  {
    breaks: 1,
    name: "an attempt begins while another one runs",
    file: engine,
    edits: [
      ["if (phase === idle && round !== undefined && round.notBefore", "if (round !== undefined && round.notBefore"]
    ],
    tests: guarantee("one-exchange")
  },
  {
    breaks: 1,
    name: "the phase is set only once the attempt runs",
    file: engine,
    edits: [
      [
        "    this.#phase = phase\n    phase.fiber = this.#env.fork(this.#attempt(phase))\n",
        "    phase.fiber = this.#env.fork(Effect.suspend(() => ((this.#phase = phase), this.#attempt(phase))))\n"
      ]
    ],
    tests: guarantee("one-exchange")
  },
  // 2. `get` never returns a token that has expired.
  {
    breaks: 2,
    name: "no second look after the wait",
    file: engine,
    edits: [["Effect.suspend(() => this.#look(tries - 1))", "outcome"]],
    tests: guarantee("never-expired")
  },
  {
    breaks: 2,
    name: "no check on the monotonic clock",
    file: credential,
    edits: [["Math.min(token.expiresAt - this.wallNow(), deadline - this.now())", "token.expiresAt - this.wallNow()"]],
    tests: guarantee("never-expired")
  },
  {
    breaks: 2,
    name: "a stored token is held whatever its age",
    file: exchange,
    edits: [["expiresAt - clock.currentTimeMillisUnsafe(), (sentAt", "Infinity, (sentAt"]],
    tests: model
  },
  {
    breaks: 2,
    name: "a token's life begins when the store has it",
    file: exchange,
    edits: [["(sentAt ?? now) + expiresAt", "now + expiresAt"]],
    tests: ofService
  },
  {
    breaks: 2,
    name: "a token's life begins before the wait for the store",
    file: exchange,
    edits: [
      ["let sentAt: number | undefined\n", "let sentAt: number | undefined = monotonic(clock)\n"],
      ["          sentAt = monotonic(clock)\n", ""]
    ],
    tests: ofService
  },
  {
    breaks: 2,
    name: "without a schedule, the clocks are compared once",
    file: credential,
    edits: [["wall < this.#compared + glance", "wall < Infinity"]],
    tests: guarantee("never-expired")
  },
  // 3. While the held token is valid, no failing renewal fails a caller of `get`.
  {
    breaks: 3,
    name: "no static stability",
    file: engine,
    edits: [
      [
        "if (held !== undefined) return held.exit\n    return Exit",
        "if (held !== undefined && Exit.isSuccess(outcome)) return held.exit\n    return Exit"
      ]
    ],
    tests: guarantee("static-stability")
  },
  {
    breaks: 3,
    name: "a rejected token is dropped",
    file: engine,
    edits: [['held.doubt = "refused"\n', "this.#token.held = undefined\n"]],
    tests: guarantee("rejected-tokens")
  },
  // 5. A cancelled caller loses nothing; a closed scope leaves nothing.
  {
    breaks: 5,
    name: "closing the scope leaves those who wait",
    file: engine,
    edits: [["    this.retire()\n    this.#settle(Exit.interrupt())\n", "    this.retire()\n"]],
    tests: guarantee("cancelled-callers")
  },
  {
    breaks: 5,
    name: "closing the scope leaves the request",
    file: phases,
    edits: [["fibers.filter((fiber) => fiber !== undefined)", "[]"]],
    tests: guarantee("cancelled-callers")
  },
  {
    breaks: 5,
    name: "an attempt can be cut before it begins",
    file: actor,
    edits: [["{ uninterruptible: true }", "{ uninterruptible: false }"]],
    tests: model
  },
  {
    breaks: 5,
    name: "a result that came too late still counts",
    file: engine,
    edits: [
      [
        "    const onSuccess = (renewed: Exchange.Received) => {\n      if (this.#phase !== phase) return\n",
        "    const onSuccess = (renewed: Exchange.Received) => {\n"
      ]
    ],
    tests: model
  },
  {
    breaks: 5,
    name: "a sign-out leaves the callers waiting",
    file: engine,
    edits: [['    this.#settle("signed-out")\n', "    this.#changed()\n"]],
    tests: ofService
  },
  {
    breaks: 5,
    name: "a second sign-out leaves what was asked for since the first",
    file: engine,
    edits: [
      [
        "    const leaving = leavingFrom(phase)\n",
        '    const leaving = leavingFrom(phase)\n    if (phase._tag === "Leaving") return Deferred.await(leaving.done)\n'
      ]
    ],
    tests: ofService
  },
  {
    breaks: 5,
    name: "a sign-out begins in a later step of its caller",
    file: engine,
    edits: [
      [
        '    this.#settle("signed-out")\n    return Deferred.await(leaving.done)\n',
        '    return Effect.suspend(() => (this.#settle("signed-out"), Deferred.await(leaving.done)))\n'
      ]
    ],
    tests: ofService
  },
  {
    breaks: 5,
    name: "a sign-out sets its phase once it runs",
    file: engine,
    edits: [
      [
        "    this.#phase = leaving\n",
        "    leaving.fiber = this.#env.fork(Effect.suspend(() => ((this.#phase = leaving), this.#leave(leaving))))\n"
      ]
    ],
    tests: ofService
  },
  {
    breaks: 5,
    name: "a sign-out does not wait for the attempt",
    file: engine,
    edits: [
      ["Effect.void : Fiber.interrupt(interrupted)", "Effect.void : Effect.sync(() => interrupted.interruptUnsafe())"]
    ],
    tests: ofService
  },
  {
    breaks: 5,
    name: "a sign-out forgets the pauses of those who wait",
    file: engine,
    edits: [["wait(this.#demand(round.trigger, round))", "wait(this.#demand(round.trigger))"]],
    tests: ofService
  },
  {
    breaks: 5,
    name: "an observer delays the renewal",
    file: observers,
    edits: [["const fiber = fork(bounded(effect))", "const fiber = (Effect.runSync(effect), fork(Effect.void))"]],
    tests: ofService
  },
  {
    breaks: 5,
    name: "observers are not bounded in time",
    file: observers,
    edits: [["Effect.timeoutOption(effect, timeout)", "Effect.timeoutOption(effect, 100 * timeout)"]],
    tests: ofService
  },
  {
    breaks: 5,
    name: "observers are not bounded in number",
    file: observers,
    edits: [["if (before >= limit) {", "if (before >= 100 * limit) {"]],
    tests: ofService
  },
  // 6. Fatal failures are typed, cached briefly, never hammered.
  {
    breaks: 6,
    name: "fatal failures are not cached",
    file: setback,
    edits: [["forCallers: now + memory,", "forCallers: now,"]],
    tests: guarantee("fatal-failures")
  },
  {
    breaks: 6,
    name: "fatal failures are cached for ever",
    file: setback,
    edits: [["forCallers: now + memory,", "forCallers: Infinity,"]],
    tests: guarantee("fatal-failures")
  },
  {
    breaks: 6,
    name: "where refusals lock the account, they are remembered for 5 s",
    file: setback,
    edits: [["traits.locksAccount === true ? 5 * 60_000 : 5_000", "traits.locksAccount === true ? 5_000 : 5_000"]],
    tests: guarantee("fatal-failures")
  },
  {
    breaks: 6,
    name: "renew does not respect the pause",
    file: engine,
    edits: [
      [
        'return this.#round === undefined && setback !== undefined && this.#isPaused(setback.forCallers)\n      ? this.#token.failAgain(setback)\n      : this.#join(this.#demand("renew")',
        'return this.#round === undefined && setback !== undefined && setback.isFatal && this.#isPaused(setback.forCallers)\n      ? this.#token.failAgain(setback)\n      : this.#join(this.#demand("renew")'
      ],
      [
        "notBefore: after?.notBefore ?? this.#setback?.forCallers ?? -Infinity",
        'notBefore: trigger === "renew" ? -Infinity : (after?.notBefore ?? this.#setback?.forCallers ?? -Infinity)'
      ]
    ],
    tests: ofService
  },
  {
    breaks: 6,
    name: "an attempt is made for callers who have waited long enough",
    file: engine,
    edits: [
      [
        "    // First, because no attempt",
        "    if (phase === idle && round !== undefined && round.notBefore <= this.#now()) { this.#exchange(); return }\n    // First, because no attempt"
      ]
    ],
    tests: ofService
  },
  // 7. A 401 renews only if the rejected token is still the current one.
  {
    breaks: 7,
    name: "reject does not compare",
    file: engine,
    edits: [["|| !AccessToken.isSameCredential(held.token, token)", ""]],
    tests: guarantee("rejected-tokens")
  },
  {
    breaks: 7,
    name: "a rejected token that has expired is not refused",
    file: engine,
    edits: [
      [
        "    held.wasRefused = true\n    const isExpired",
        "    if (this.#token.valid() === undefined) return this.#look(looks)\n    held.wasRefused = true\n    const isExpired"
      ]
    ],
    tests: guarantee("rejected-tokens")
  },
  {
    breaks: 7,
    name: "a rejected token that only the store has is served",
    file: engine,
    edits: [
      [
        "(isRefused(found) ? this.reject(token) : Exit.succeed(found))",
        "(isRefused(found) ? Exit.succeed(found) : Exit.succeed(found))"
      ]
    ],
    tests: ofMap
  },
  {
    breaks: 7,
    name: "a rejected token is not refused",
    file: engine,
    edits: [['held.doubt = "refused"\n', ""]],
    tests: guarantee("rejected-tokens")
  },
  {
    breaks: 7,
    name: "a rejected token is called valid",
    file: credential,
    edits: [["return held?.wasRefused === false ? held.token.expiresAt : undefined", "return held?.token.expiresAt"]],
    tests: guarantee("rejected-tokens")
  },
  {
    breaks: 7,
    name: "a token that the storm breaker left unrenewed is called valid",
    file: engine,
    edits: [
      ["    held.wasRefused = true\n    const isExpired", "    const isExpired"],
      ['    held.doubt = "refused"\n', '    held.wasRefused = true\n    held.doubt = "refused"\n']
    ],
    tests: guarantee("rejected-tokens")
  },
  {
    breaks: 7,
    name: "no storm breaker",
    file: storm,
    edits: [["recent.length < limit", "recent.length < Infinity"]],
    tests: guarantee("rejected-tokens")
  },
  // 8. The scheduler is suspend-safe, never gives up, ends with its scope.
  {
    breaks: 8,
    name: "the pauses end on the wall clock",
    file: engine,
    edits: [
      [
        "return until !== undefined && this.#now() < until",
        "return until !== undefined && this.#token.wallNow() < until"
      ]
    ],
    tests: model
  },
  {
    breaks: 8,
    name: "the scheduler gives up after a failure",
    file: engine,
    edits: [["|| setback?.bySchedule === false) return Infinity", "|| setback !== undefined) return Infinity"]],
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
    file: setback,
    edits: [["const long = now + jittered(random, policy.coolDown)", "const long = now"]],
    tests: guarantee("scheduler")
  },
  // 9. No secret anywhere.
  {
    breaks: 9,
    name: "the error carries the token",
    file: credential,
    edits: [
      [
        'import * as Exit from "effect/Exit"',
        'import * as Exit from "effect/Exit"\nimport * as Redacted from "effect/Redacted"'
      ],
      [
        "return new TokenError.TokenError({ provider: this.#provider, reason, validUntil: this.#validUntil })",
        "return new TokenError.TokenError({ provider: this.held === undefined ? this.#provider : Redacted.value(this.held.token.accessToken), reason, validUntil: this.#validUntil })"
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
      [
        "duration, age, expiresAt } as const",
        "duration, age, expiresAt, token: Redacted.value(renewed.token.accessToken) } as const"
      ]
    ],
    tests: guarantee("no-secrets")
  },
  // The map: what the guarantees say, for many identities.
  {
    breaks: 1,
    name: "map: a user is not counted",
    file: map,
    edits: [["      entry.users += 1\n", ""]],
    tests: ofMap
  },
  {
    breaks: 1,
    name: "map: a user is counted in a later step",
    file: map,
    edits: [
      [
        "return using(entry, restore(Effect.suspend(() => call(entry.engine))))",
        "return Effect.andThen(Effect.void, Effect.suspend(() => using(entry, restore(Effect.suspend(() => call(entry.engine))))))"
      ]
    ],
    tests: ofMap
  },
  {
    breaks: 6,
    name: "map: an identity may be evicted at once",
    file: map,
    edits: [["if (!(idle >= 1_000))", "if (!(idle >= 0))"]],
    tests: ofMap
  },
  {
    breaks: 5,
    name: "map: a user is counted for ever",
    file: map,
    edits: [["          entry.users -= 1\n", ""]],
    tests: ofMap
  },
  {
    breaks: 5,
    name: "map: closing leaves the engines that are busy",
    file: map,
    edits: [
      ["const closing = busy.map(({ engine }) => engine.close())", "const closing = busy.map(() => Effect.void)"]
    ],
    tests: ofMap
  },
  {
    breaks: 8,
    name: "map: an evicted identity stays on the agenda",
    file: map,
    edits: [["    agenda.remove(engine)\n", ""]],
    tests: ofMap
  },
  {
    breaks: 8,
    name: "map: work is not removed from the agenda",
    file: agenda,
    edits: [["    if (last.work !== work) settle(last, position)\n", ""]],
    tests: ofMap
  }
]
