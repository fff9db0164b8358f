/**
 * Programs that failed with the first protocol of the stores. They act on `TokenService` only, and faults happen beneath the
 * backend.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, type Fiber, Schedule, Scope } from "effect"
import { RenewalPolicy, TokenError, TokenService, TokenStore } from "effect-video-auth"
import * as FakeProvider from "effect-video-auth/testing/FakeProvider"
import { TestClock } from "effect/testing"
import { bare, reasonOf } from "../guarantees/engine.ts"
import { numbers } from "../model/scheduler.ts"
import { seed } from "../support/random.ts"

const { onDemand } = RenewalPolicy

/** What happens to a call of the backend. */
type Fate = (operation: string, call: Effect.Effect<unknown, unknown>) => Effect.Effect<unknown, unknown>

/** A backend whose every call meets its fate. */
const faulty = (backend: TokenStore.Backend, fate: Fate): TokenStore.Backend =>
  new Proxy(backend, {
    get: (target, operation) => {
      const method: unknown = Reflect.get(target, operation)
      if (operation === "changed" || typeof method !== "function") return undefined
      return (...args: ReadonlyArray<unknown>) =>
        fate(
          String(operation),
          Effect.suspend(() => Reflect.apply(method, target, args))
        )
    }
  })

const unavailable = (operation: string) => Effect.fail(new TokenError.StoreUnavailable({ operation }))

interface Options {
  readonly backend: TokenStore.Backend
  readonly fake: FakeProvider.FakeProvider["Service"]
  readonly lease?: Duration.Input
  /** Whether this process can log in. */
  readonly hasLogin?: boolean
}

/** A process: a service on a store of its own. */
const start = Effect.fnUntraced(function* ({ backend, fake, hasLogin = true, lease }: Options) {
  const { login: _, ...session } = fake.provider
  const provider = hasLogin
    ? fake.provider
    : { ...session, traits: { ...session.traits, renewWith: "refresh" as const } }
  const store = Effect.orDie(TokenStore.make(backend, lease === undefined ? {} : { lease }))
  return yield* Effect.provideServiceEffect(
    TokenService.make({ provider, policy: onDemand }),
    TokenStore.TokenStore,
    store
  )
})

/** A store that holds a session, which another process began. */
const begun = Effect.fnUntraced(function* (fake: FakeProvider.FakeProvider["Service"]) {
  const backend = yield* TokenStore.makeMemory
  const first = yield* start({ backend, fake })
  yield* first.get
  return backend
})

/** Lets time pass until a fibre has ended, or for so long. */
const within = Effect.fnUntraced(function* <A, E>(fiber: Fiber.Fiber<A, E>, limit: Duration.Input) {
  const millis = Duration.toMillis(Duration.fromInputUnsafe(limit))
  const step = 250
  for (let passed = 0; passed < millis && fiber.pollUnsafe() === undefined; passed += step)
    yield* TestClock.adjust(step)
  const exit = fiber.pollUnsafe()
  return exit === undefined ? yield* Effect.die(`not over after ${millis} ms`) : yield* exit
})

const assertSentOnce = (refreshTokens: ReadonlyArray<string>) =>
  assert.strictEqual(new Set(refreshTokens).size, refreshTokens.length, refreshTokens.join(" "))

describe("S1: a lost reply of the store", () => {
  for (let lost = 1; lost <= 6; lost++) {
    it.effect(`doesn't end a session without a login (call ${lost})`, () =>
      Effect.gen(function* () {
        const fake = FakeProvider.make()
        let calls = 0
        const backend = faulty(yield* begun(fake), (operation, call) =>
          Effect.flatMap(call, (reply) => (++calls === lost ? unavailable(operation) : Effect.succeed(reply)))
        )
        const service = yield* start({ backend, fake, hasLogin: false })
        yield* within(yield* Effect.forkChild(service.get), "10 seconds")
        const renewed = yield* within(yield* Effect.forkChild(service.renew), "20 seconds")
        assert.strictEqual(bare(renewed), "access-2")
        assertSentOnce((yield* fake.ledger).refreshTokens)
      })
    )
  }

  it.effect(`doesn't end one 200 times at random (seed ${seed})`, () =>
    Effect.gen(function* () {
      const fake = FakeProvider.make()
      const random = numbers([...seed].reduce((sum, char) => (sum * 31 + char.charCodeAt(0)) | 0, 1))
      const lost = { count: 0 }
      const backend = faulty(yield* begun(fake), (operation, call) =>
        Effect.flatMap(call, (reply) => {
          const isLost = random() < 0.45
          if (isLost) lost.count += 1
          return isLost ? unavailable(operation) : Effect.succeed(reply)
        })
      )
      const service = yield* start({ backend, fake, hasLogin: false })
      let renewals = 0
      while (lost.count < 200) {
        const exit = yield* Effect.exit(within(yield* Effect.forkChild(service.renew), "30 seconds"))
        if (Exit.isSuccess(exit)) renewals += 1
        else assert.notInclude(String(exit.cause), "sign-in required")
        yield* TestClock.adjust("31 seconds")
      }
      assert.isAbove(renewals, 5)
      const { refreshTokens } = yield* fake.ledger
      assertSentOnce(refreshTokens)
      // The session still lives.
      const next = yield* start({ backend: backend, fake, hasLogin: false })
      let last = yield* Effect.exit(within(yield* Effect.forkChild(next.renew), "30 seconds"))
      for (let more = 0; more < 20 && Exit.isFailure(last); more++) {
        yield* TestClock.adjust("1 minute")
        last = yield* Effect.exit(within(yield* Effect.forkChild(next.renew), "30 seconds"))
      }
      assert.isTrue(Exit.isSuccess(last))
    })
  )
})

/** What may happen to a process of {@link survivor}. */
type Mishap = "none" | "killed before sending" | "stopped for longer than the lease"

/** Counts the leases that a process takes over from one that was silent for a few seconds, but not yet for long. */
const countingTakeovers = (backend: TokenStore.Backend) => {
  const takeovers = { count: 0 }
  const claim: TokenStore.Backend["claim"] = (identity, options) =>
    Effect.flatMap(backend.read(identity), ({ lease, now }) =>
      Effect.tap(backend.claim(identity, options), (isGranted) =>
        Effect.sync(() => {
          const isOther = lease !== undefined && lease.attempt !== options.attempt
          if (isGranted && isOther && now - lease.at < 30_000) takeovers.count += 1
        })
      )
    )
  return { backend: { ...backend, claim }, takeovers }
}

/** A process on a store. One of two is far off: it loses 45 % of the replies, and now and then all of them for 8 s. */
const survivor = Effect.fnUntraced(function* (
  memory: TokenStore.Backend,
  { provider, ...fake }: FakeProvider.FakeProvider["Service"],
  random: () => number,
  mishap: Mishap
) {
  const lost = { count: 0 }
  const isDead = { value: false }
  let isFarOff = random() < 0.5
  let isStopped = false
  const clock = yield* Clock.Clock
  let losesAllUntil = 0
  /** A stop comes at any call, and during an exchange. It also keeps the signs of life from being shown. */
  const stop = () => {
    if (mishap !== "stopped for longer than the lease" || random() >= 0.3) return Effect.void
    isStopped = true
    return Effect.andThen(
      Effect.sleep(7_000 + 10_000 * random()),
      Effect.sync(() => {
        isStopped = false
      })
    )
  }
  const backend = faulty(memory, (operation, call) =>
    Effect.suspend(() => {
      if (operation === "sending" && mishap === "killed before sending") isDead.value = true
      if (isDead.value) return Effect.never
      const paused = operation === "beat" ? Effect.void : stop()
      if (operation === "beat" && isStopped) return Effect.never
      const reply = Effect.flatMap(call, (reply) => {
        const now = clock.currentTimeMillisUnsafe()
        if (isFarOff && random() < 0.2) losesAllUntil = now + 8_000
        const isLost = now < losesAllUntil || (isFarOff && random() < 0.45)
        if (isLost) lost.count += 1
        return isLost ? unavailable(operation) : Effect.succeed(reply)
      })
      return random() < 0.5 ? Effect.andThen(paused, reply) : Effect.tap(reply, paused)
    })
  )
  // Its scope never closes, as nothing happens in a process that was killed.
  const refresh: typeof provider.refresh = (current) =>
    Effect.tap(provider.refresh?.(current) ?? Effect.die("no refresh"), () => Effect.suspend(stop))
  const stopping = { ...fake, provider: { ...provider, refresh } }
  const service = yield* Scope.provide(start({ backend, fake: stopping, hasLogin: false }), yield* Scope.make())
  const mend = () => {
    isFarOff = false
    losesAllUntil = 0
  }
  return { service, lost, isDead, mend }
})

it.effect(
  `S1, S3: a session without a login survives 200 lost replies, kills and stops, all mixed (seed ${seed})`,
  () =>
    Effect.gen(function* () {
      const fake = FakeProvider.make({ latency: "300 millis" })
      const random = numbers([...seed].reduce((sum, char) => (sum * 37 + char.charCodeAt(0)) | 0, 1))
      const { backend: memory, takeovers } = countingTakeovers(
        yield* within(yield* Effect.forkChild(begun(fake)), "1 second")
      )
      const mishaps = ["none", "killed before sending", "stopped for longer than the lease"] as const
      const happened = new Map<Mishap, number>()
      let [lost, renewals] = [0, 0]
      while (lost < 200 || mishaps.some((mishap) => (happened.get(mishap) ?? 0) < 30)) {
        // Two processes at a time, so that one takes over from the other.
        const pair = [mishaps[Math.floor(3 * random())] ?? "none", mishaps[Math.floor(3 * random())] ?? "none"]
        const processes = yield* Effect.forEach(pair, (mishap) => survivor(memory, fake, random, mishap))
        const callers = yield* Effect.forEach(processes, ({ service }) =>
          // What is stored is adopted first, so that a renewal needs an exchange.
          Effect.forkDetach(
            Effect.retry(Effect.andThen(service.get, service.renew), {
              times: 3,
              schedule: Schedule.spaced("5 seconds")
            })
          )
        )
        for (const [index, caller] of callers.entries()) {
          const process = processes[index]
          for (
            let passed = 0;
            passed < 480 && caller.pollUnsafe() === undefined && process?.isDead.value !== true;
            passed++
          )
            yield* TestClock.adjust("500 millis")
          const exit = caller.pollUnsafe()
          if (exit !== undefined && Exit.isSuccess(exit)) renewals += 1
          if (exit === undefined) assert.isTrue(process?.isDead.value, "a renewal never ends")
        }
        // What they had left to do is done once they reach the store again. Then they are dead.
        for (const { mend } of processes) mend()
        yield* TestClock.adjust("1 minute")
        for (const { isDead, lost: own } of processes) {
          lost += own.count
          isDead.value = true
        }
        const next = yield* start({ backend: memory, fake, hasLogin: false })
        yield* within(
          yield* Effect.forkChild(
            Effect.retry(Effect.andThen(next.get, next.renew), { times: 2, schedule: Schedule.spaced("31 seconds") })
          ),
          "2 minutes"
        )
        for (const mishap of pair) happened.set(mishap, (happened.get(mishap) ?? 0) + 1)
      }
      assert.isAbove(renewals, 20)
      assert.isAbove(takeovers.count, 1)
      assertSentOnce((yield* fake.ledger).refreshTokens)
    })
)

it.effect("S2: 3 processes with a lease of 5 s and a login of 6 s make one login, and all are served", () =>
  Effect.gen(function* () {
    const backend = yield* TokenStore.makeMemory
    const fake = FakeProvider.make({ latency: "6 seconds" })
    const processes = yield* Effect.replicateEffect(start({ backend, fake, lease: "5 seconds" }), 3)
    const callers = yield* Effect.forEach(processes, ({ get }) => Effect.forkChild(get))
    yield* TestClock.adjust("5 minutes")
    const tokens = yield* Effect.forEach(callers, (caller) => within(caller, 0))
    assert.deepStrictEqual(tokens.map(bare), ["access-1", "access-1", "access-1"])
    assert.include(yield* fake.ledger, { logins: 1 })
  })
)

for (const [what, stopped] of [
  ["slower than the lease", false],
  ["stopped for longer than the lease", true]
] as const) {
  it.effect(`S3: a refresh that is ${what} doesn't end a session without a login`, () =>
    Effect.gen(function* () {
      const fake = FakeProvider.make({ latency: "2 seconds" })
      const memory = yield* TokenStore.makeMemory
      const setup = yield* start({ backend: memory, fake })
      yield* within(yield* Effect.forkChild(setup.get), "5 seconds")
      // A process that is stopped shows no signs of life.
      const holder = stopped
        ? faulty(memory, (operation, call) => (operation === "beat" ? Effect.never : call))
        : memory
      const [one, other] = [
        yield* start({ backend: holder, fake, lease: "500 millis", hasLogin: false }),
        yield* start({ backend: memory, fake, lease: "500 millis", hasLogin: false })
      ]
      yield* Effect.all([one.get, other.get])
      const first = yield* Effect.forkChild(one.renew)
      yield* TestClock.adjust("100 millis")
      // It may be told that the response seems to be lost, and to try again.
      const second = yield* Effect.forkChild(Effect.retry(other.renew, Schedule.spaced("1 second")))
      const tokens = [yield* within(first, "20 seconds"), yield* within(second, "30 seconds")]
      assert.deepStrictEqual(tokens.map(bare), ["access-2", "access-2"])
      assertSentOnce((yield* fake.ledger).refreshTokens)
    })
  )
}

it.effect("a grant that comes later than a lease is given back, and nothing is sent on it", () =>
  Effect.gen(function* () {
    const fake = FakeProvider.make()
    const memory = yield* begun(fake)
    const operations: Array<string> = []
    const backend = faulty(memory, (operation, call) => {
      const isFirst = operation === "sending" && !operations.includes("sending")
      if (operation !== "beat") operations.push(operation)
      return isFirst ? Effect.tap(call, () => Effect.sleep("7 seconds")) : call
    })
    const service = yield* start({ backend, fake, hasLogin: false })
    yield* service.get
    operations.length = 0
    const renewed = yield* within(yield* Effect.forkChild(service.renew), "10 seconds")
    assert.strictEqual(bare(renewed), "access-2")
    assert.deepStrictEqual(operations, ["read", "claim", "sending", "release", "read", "claim", "sending", "commit"])
    assertSentOnce((yield* fake.ledger).refreshTokens)
  })
)

it.effect("S8: nobody waits for a store's clock that was set back by an hour", () =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    let offset = 0n
    const monotonicTimeNanosUnsafe = () => clock.monotonicTimeNanosUnsafe() + offset
    const ofStore: Clock.Clock = Object.assign(Object.create(clock), {
      monotonicTimeNanosUnsafe,
      monotonicTimeNanos: Effect.sync(monotonicTimeNanosUnsafe)
    })
    yield* TestClock.adjust("2 hours")
    const backend = yield* Effect.provideService(TokenStore.makeMemory, Clock.Clock, ofStore)
    const dead = FakeProvider.make({ hangs: true })
    const isKilled = { value: false }
    // Its scope never closes, as nothing happens in a process that was killed.
    const holder = yield* Scope.provide(
      start({
        backend: faulty(backend, (_, call) => Effect.suspend(() => (isKilled.value ? Effect.never : call))),
        fake: dead
      }),
      yield* Scope.make()
    )
    yield* Effect.forkChild(Effect.exit(holder.get))
    yield* TestClock.adjust(100)
    isKilled.value = true
    offset = -3_600_000_000_000n
    const fake = FakeProvider.make()
    const service = yield* start({ backend, fake })
    const token = yield* within(yield* Effect.forkChild(service.get), "8 seconds")
    assert.strictEqual(bare(token), "access-1")
  })
)

it.effect("S9: two services that share a store that is down send no refresh token twice", () =>
  Effect.gen(function* () {
    const fake = FakeProvider.make({ latency: "1 second" })
    const backend = faulty(yield* TokenStore.makeMemory, (operation) => unavailable(operation))
    const store = yield* Effect.orDie(TokenStore.make(backend))
    const services = yield* Effect.replicateEffect(
      Effect.provideService(
        TokenService.make({ provider: fake.provider, policy: onDemand }),
        TokenStore.TokenStore,
        store
      ),
      2
    )
    const all = Effect.gen(function* () {
      const callers = yield* Effect.forEach(services, ({ get }) => Effect.forkChild(get))
      return yield* Effect.forEach(callers, (caller) => within(caller, "20 seconds"))
    })
    yield* all
    for (let renewal = 0; renewal < 3; renewal++) {
      yield* TestClock.adjust("1 hour")
      yield* all
    }
    const { logins, peak, refreshTokens } = yield* fake.ledger
    assertSentOnce(refreshTokens)
    assert.strictEqual(peak, 1)
    assert.strictEqual(logins, 1)
  })
)

it.effect("S10: reading the stored credential writes nothing, so a reader that dies costs nothing", () =>
  Effect.gen(function* () {
    const fake = FakeProvider.make()
    const memory = yield* begun(fake)
    const before = yield* memory.read("fake")
    const operations: Array<string> = []
    for (const when of ["before", "after"] as const) {
      const backend = faulty(memory, (operation, call) => {
        operations.push(operation)
        return when === "before" ? Effect.never : Effect.andThen(call, Effect.never)
      })
      const reader = yield* Effect.orDie(TokenStore.make(backend))
      yield* Effect.forkChild(reader.current("fake"), { startImmediately: true })
    }
    assert.deepStrictEqual(operations, ["read", "read"])
    assert.deepStrictEqual(yield* memory.read("fake"), before)
    const service = yield* start({ backend: memory, fake, hasLogin: false })
    yield* service.get
    assert.strictEqual(bare(yield* service.renew), "access-2")
  })
)

it.effect("S13: a store that takes 3 s for each call is not one that is down", () =>
  Effect.gen(function* () {
    const fake = FakeProvider.make()
    const memory = yield* TokenStore.makeMemory
    const backend = faulty(memory, (_, call) => Effect.delay(call, "3 seconds"))
    const processes = yield* Effect.replicateEffect(start({ backend, fake }), 5)
    const callers = yield* Effect.forEach(processes, ({ get }) => Effect.forkChild(Effect.retry(get, { times: 3 })))
    const tokens = yield* Effect.forEach(callers, (caller) => within(caller, "1 minute"))
    assert.deepStrictEqual(
      tokens.map(bare),
      Array.from(processes, () => "access-1")
    )
    for (const { state } of processes) assert.include(yield* state, { degraded: false })
    assert.include(yield* fake.ledger, { logins: 1 })
  })
)

it.effect("S15: a refresh token that doesn't rotate is sent again after two lost responses", () =>
  Effect.gen(function* () {
    const lost = new TokenError.AmbiguousExchange({ failure: "network" })
    const fake = FakeProvider.make({ traits: { rotatesRefreshToken: false } })
    const service = yield* start({ backend: yield* begun(fake), fake, hasLogin: false })
    yield* service.get
    yield* fake.configure({ losesRefresh: lost })
    const reason = yield* reasonOf(service.renew)
    assert.deepInclude(reason, { _tag: "AmbiguousExchange", isRetryable: true })
    yield* fake.configure({ losesRefresh: undefined })
    yield* TestClock.adjust("11 seconds")
    yield* service.renew
  })
)

describe("a holder that was killed", () => {
  for (const operation of ["read", "claim", "sending", "exchange", "commit"] as const) {
    for (const when of ["before", "after"] as const) {
      it.effect(`${when} its ${operation} delays a cold caller by at most 8 s`, () =>
        Effect.gen(function* () {
          const memory = yield* TokenStore.makeMemory
          const dying = FakeProvider.make({ hangs: operation === "exchange" })
          const scope = yield* Scope.make()
          // Nothing that a killed process would do after this call happens.
          let isKilled = false
          const backend = faulty(memory, (name, call) =>
            Effect.suspend(() => {
              if (isKilled) return Effect.never
              if (name !== operation) return call
              isKilled = true
              return when === "before" ? Effect.never : Effect.andThen(call, Effect.never)
            })
          )
          const holder = yield* Scope.provide(start({ backend, fake: dying }), scope)
          yield* Effect.forkChild(Effect.exit(holder.get))
          yield* TestClock.adjust(100)
          isKilled = true
          const fake = FakeProvider.make()
          const service = yield* start({ backend: memory, fake })
          const caller = yield* Effect.forkChild(service.get)
          if (operation === "commit" && when === "after") {
            assert.strictEqual(bare(yield* within(caller, "8 seconds")), "access-1")
            assert.include(yield* fake.ledger, { logins: 0 })
          } else {
            yield* within(caller, "8 seconds")
            assert.include(yield* fake.ledger, { logins: 1 })
          }
        })
      )
    }
  }
})

describe("a store that never grants", () => {
  const refusing = (operation: string) =>
    Effect.map(TokenStore.makeMemory, (memory) => {
      const calls = { count: 0 }
      const backend = faulty(memory, (name, call) =>
        Effect.suspend(() => {
          if (name !== operation) return call
          calls.count += 1
          return Effect.succeed(false)
        })
      )
      return { backend, calls }
    })

  for (const operation of ["claim", "sending", "commit"]) {
    it.effect(`a ${operation} counts as down, and a process that can log in does`, () =>
      Effect.gen(function* () {
        const { backend, calls } = yield* refusing(operation)
        const fake = FakeProvider.make()
        const service = yield* start({ backend, fake })
        yield* within(yield* Effect.forkChild(service.get), "1 minute")
        assert.include(yield* service.state, { degraded: true })
        assert.isAtMost(calls.count, 60)
        assert.isAtMost((yield* fake.ledger).logins, 4)
      })
    )
  }

  it.effect("a commit fails a sign-in with StoreUnavailable", () =>
    Effect.gen(function* () {
      const { backend, calls } = yield* refusing("commit")
      const token = yield* (yield* start({
        backend: yield* TokenStore.makeMemory,
        fake: FakeProvider.make()
      })).get
      const store = yield* Effect.orDie(TokenStore.make(backend))
      const reason = yield* Effect.flip(store.replace("one", token))
      assert.deepInclude(reason, {
        _tag: "StoreUnavailable",
        operation: "commit",
        problem: "conflict"
      })
      assert.isAtMost(calls.count, 60)
    })
  )
})

describe("a caller's error names the store that is its cause", () => {
  for (const [how, fate, problem] of [
    ["is down", Effect.fail(new TokenError.StoreUnavailable({ operation: "read", problem: "READONLY" })), "READONLY"],
    [
      "doesn't respond",
      Effect.delay(
        Effect.fail(new TokenError.StoreUnavailable({ operation: "read", problem: "timeout" })),
        "4 seconds"
      ),
      "timeout"
    ]
  ] as const) {
    it.effect(`when it ${how}, and there is no login`, () =>
      Effect.gen(function* () {
        const backend = faulty(yield* TokenStore.makeMemory, () => fate)
        const service = yield* start({ backend, fake: FakeProvider.make(), hasLogin: false })
        const caller = yield* Effect.forkChild(Effect.flip(service.get))
        const { message, reason } = yield* within(caller, "30 seconds")
        assert.deepInclude(reason, { _tag: "StoreUnavailable", problem })
        assert.include(message, `the token store failed (read: ${problem})`)
      })
    )
  }
})
