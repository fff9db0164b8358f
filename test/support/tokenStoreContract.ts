/** What every `TokenStore` backend owes `transact`, as tests: run it over each backend there is. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Redacted, type Scope } from "effect"
import { AccessToken, TokenError, TokenStore } from "effect-video-auth"
import { TestClock } from "effect/testing"

/** A credential to store. */
export const token = (generation: number, name = `access-${generation}`) =>
  new AccessToken.AccessToken({
    accessToken: Redacted.make(name, { label: "access_token" }),
    refreshToken: Redacted.make(`refresh-of-${name}`, { label: "refresh_token" }),
    tokenType: "Bearer",
    issuedAt: 1_000,
    expiresAt: 3_601_000,
    refreshExpiresAt: 7_201_000,
    generation,
    extra: { validForVideoManager: 17 }
  })

/** All there is to a credential, secrets in clear, so that two can be compared. */
const plain = (token: AccessToken.AccessToken) => ({
  ...token,
  accessToken: Redacted.value(token.accessToken),
  refreshToken: token.refreshToken === undefined ? undefined : Redacted.value(token.refreshToken)
})

/** The same, written on a clock that is `millis` ahead. */
const ahead = (token: AccessToken.AccessToken, millis: number) =>
  new AccessToken.AccessToken({
    ...token,
    issuedAt: token.issuedAt + millis,
    expiresAt: token.expiresAt + millis,
    refreshExpiresAt: token.refreshExpiresAt === undefined ? undefined : token.refreshExpiresAt + millis
  })

/** Takes the lease, which must be free. */
export const lease = Effect.fnUntraced(function* (
  backend: TokenStore.Backend,
  options: { readonly owner: string; readonly seen?: number; readonly ttl?: number; readonly identity?: string }
) {
  const { identity = "one", owner, seen = 0, ttl = 10_000 } = options
  const acquired = yield* backend.acquire(identity, { owner, seen, ttl })
  return acquired._tag === "Lease" ? acquired : yield* Effect.die(`expected the lease, got ${acquired._tag}`)
})

/** Takes the lease and commits. */
export const put = Effect.fnUntraced(function* (backend: TokenStore.Backend, stored: AccessToken.AccessToken) {
  const { fence } = yield* lease(backend, { owner: "writer", seen: stored.generation })
  assert.isTrue(yield* backend.commit("one", { owner: "writer", fence, stored }))
})

/**
 * The contract. `isLive` says that time passes on a clock of the store's own, so that a wait is a real one and instants are
 * read back with the latency of a call taken off. Each test uses a backend of its own, which must be empty.
 */
export const tokenStoreContract = <E>(
  name: string,
  makeBackend: Effect.Effect<TokenStore.Backend, E, Scope.Scope>,
  { isLive = false }: { readonly isLive?: boolean } = {}
) => {
  const test = <E2>(name: string, body: (backend: TokenStore.Backend) => Effect.Effect<void, E2, Scope.Scope>) =>
    (isLive ? it.live : it.effect)(name, () => Effect.flatMap(makeBackend, body))

  /** A lease that a test sees the end of. */
  const short = 1_000
  const shortIsOver = isLive ? Effect.sleep(short + 50) : TestClock.adjust(short)

  const assertSame = (actual: Option.Option<AccessToken.AccessToken>, expected: AccessToken.AccessToken) => {
    const delay = Option.match(actual, { onNone: () => 0, onSome: ({ expiresAt }) => expected.expiresAt - expiresAt })
    assert.isAtMost(delay, isLive ? 2_000 : 0)
    // A file system's clock ticks every few milliseconds.
    assert.isAtLeast(delay, isLive ? -20 : 0)
    assert.deepStrictEqual(Option.map(actual, plain), Option.some(plain(ahead(expected, -delay))))
  }

  describe(`${name}: leases`, () => {
    test("an empty store gives its lease, with nothing stored", (backend) =>
      Effect.gen(function* () {
        const { orphaned, stored } = yield* lease(backend, { owner: "a" })
        assert.isTrue(Option.isNone(stored))
        assert.isFalse(orphaned)
      }))

    test("of 30 who ask at once, one gets the lease and the others are told to come back", (backend) =>
      Effect.gen(function* () {
        const answers = yield* Effect.forEach(
          Array.from({ length: 30 }, (_, index) => `owner-${index}`),
          (owner) => backend.acquire("one", { owner, seen: 0, ttl: 10_000 }),
          { concurrency: "unbounded" }
        )
        const tags = answers.map((answer) => answer._tag)
        assert.strictEqual(tags.filter((tag) => tag === "Lease").length, 1)
        assert.strictEqual(tags.filter((tag) => tag === "Busy").length, 29)
      }))

    test("who is told to come back is told when, within the lease", (backend) =>
      Effect.gen(function* () {
        yield* lease(backend, { owner: "a", ttl: 10_000 })
        const busy = yield* backend.acquire("one", { owner: "b", seen: 0, ttl: 10_000 })
        assert.strictEqual(busy._tag, "Busy")
        if (busy._tag === "Busy") {
          assert.isAbove(busy.retryAfter, 0)
          assert.isAtMost(busy.retryAfter, 10_000)
        }
      }))

    test("a lease is not given twice, not even to its holder", (backend) =>
      Effect.gen(function* () {
        yield* lease(backend, { owner: "a" })
        assert.strictEqual((yield* backend.acquire("one", { owner: "a", seen: 0, ttl: 10_000 }))._tag, "Busy")
      }))

    test("each lease has a higher fence", (backend) =>
      Effect.gen(function* () {
        const first = yield* lease(backend, { owner: "a" })
        yield* backend.release("one", { owner: "a", fence: first.fence, spent: false })
        const second = yield* lease(backend, { owner: "b" })
        assert.isAbove(second.fence, first.fence)
      }))

    test("identities do not know of each other", (backend) =>
      Effect.gen(function* () {
        yield* put(backend, token(1))
        yield* lease(backend, { owner: "a", seen: 1 })
        const { stored } = yield* lease(backend, { owner: "a", identity: "two" })
        assert.isTrue(Option.isNone(stored))
      }))

    test("a lease given back is free at once, and not orphaned", (backend) =>
      Effect.gen(function* () {
        const { fence } = yield* lease(backend, { owner: "a" })
        yield* backend.release("one", { owner: "a", fence, spent: false })
        assert.isFalse((yield* lease(backend, { owner: "b" })).orphaned)
      }))

    test("a lease given back as spent is orphaned for whoever comes next, until a commit", (backend) =>
      Effect.gen(function* () {
        yield* put(backend, token(1))
        const first = yield* lease(backend, { owner: "a", seen: 1 })
        yield* backend.release("one", { owner: "a", fence: first.fence, spent: true })
        const second = yield* lease(backend, { owner: "b", seen: 1 })
        assert.isTrue(second.orphaned)
        yield* backend.release("one", { owner: "b", fence: second.fence, spent: true })
        const third = yield* lease(backend, { owner: "c", seen: 1 })
        assert.isTrue(third.orphaned)
        yield* backend.commit("one", { owner: "c", fence: third.fence, stored: token(2) })
        assert.isFalse((yield* lease(backend, { owner: "d", seen: 2 })).orphaned)
      }))

    test("the lease of a holder that died is given to another when it ends, as orphaned", (backend) =>
      Effect.gen(function* () {
        yield* put(backend, token(1))
        yield* lease(backend, { owner: "dies", seen: 1, ttl: short })
        assert.strictEqual((yield* backend.acquire("one", { owner: "b", seen: 1, ttl: 10_000 }))._tag, "Busy")
        yield* shortIsOver
        const taken = yield* lease(backend, { owner: "b", seen: 1 })
        assert.isTrue(taken.orphaned)
        assertSame(taken.stored, token(1))
      }))

    test("giving back a lease that was taken over does not end the new one", (backend) =>
      Effect.gen(function* () {
        const slow = yield* lease(backend, { owner: "slow", ttl: short })
        yield* shortIsOver
        yield* lease(backend, { owner: "b" })
        yield* backend.release("one", { owner: "slow", fence: slow.fence, spent: false })
        assert.strictEqual((yield* backend.acquire("one", { owner: "c", seen: 0, ttl: 10_000 }))._tag, "Busy")
      }))
  })

  describe(`${name}: credentials`, () => {
    test("what is committed is given to a process that has seen nothing, to the last field", (backend) =>
      Effect.gen(function* () {
        yield* put(backend, token(3))
        const newer = yield* backend.acquire("one", { owner: "b", seen: 0, ttl: 10_000 })
        assert.strictEqual(newer._tag, "Newer")
        if (newer._tag === "Newer") assertSame(Option.some(newer.stored), token(3))
      }))

    for (const seen of [3, 4]) {
      test(`who has seen generation ${seen} gets the lease on generation 3`, (backend) =>
        Effect.gen(function* () {
          yield* put(backend, token(3))
          const { stored } = yield* lease(backend, { owner: "b", seen })
          assertSame(stored, token(3))
        }))
    }

    test("a newer credential is given although somebody holds the lease", (backend) =>
      Effect.gen(function* () {
        yield* put(backend, token(1))
        yield* lease(backend, { owner: "a", seen: 1 })
        assert.strictEqual((yield* backend.acquire("one", { owner: "b", seen: 0, ttl: 10_000 }))._tag, "Newer")
      }))

    test("a commit gives the lease back", (backend) =>
      Effect.gen(function* () {
        const { fence } = yield* lease(backend, { owner: "a" })
        assert.isTrue(yield* backend.commit("one", { owner: "a", fence, stored: token(1) }))
        assert.isFalse(yield* backend.commit("one", { owner: "a", fence, stored: token(2) }))
        yield* lease(backend, { owner: "b", seen: 1 })
      }))

    test("a holder that was taken over commits nothing", (backend) =>
      Effect.gen(function* () {
        const slow = yield* lease(backend, { owner: "slow", ttl: short })
        yield* shortIsOver
        const { fence } = yield* lease(backend, { owner: "b" })
        assert.isFalse(yield* backend.commit("one", { owner: "slow", fence: slow.fence, stored: token(1, "late") }))
        assert.isTrue(yield* backend.commit("one", { owner: "b", fence, stored: token(1, "kept") }))
        const { stored } = yield* lease(backend, { owner: "c", seen: 1 })
        assertSame(stored, token(1, "kept"))
      }))

    test("a holder that is late and was not taken over commits", (backend) =>
      Effect.gen(function* () {
        const { fence } = yield* lease(backend, { owner: "slow", ttl: short })
        yield* shortIsOver
        assert.isTrue(yield* backend.commit("one", { owner: "slow", fence, stored: token(1) }))
      }))

    test("nobody commits on another's lease", (backend) =>
      Effect.gen(function* () {
        const { fence } = yield* lease(backend, { owner: "a" })
        assert.isFalse(yield* backend.commit("one", { owner: "b", fence, stored: token(1) }))
        assert.isFalse(yield* backend.commit("one", { owner: "a", fence: fence + 1, stored: token(1) }))
      }))

    test("clear forgets the credential", (backend) =>
      Effect.gen(function* () {
        yield* put(backend, token(1))
        yield* backend.clear("one")
        const { orphaned, stored } = yield* lease(backend, { owner: "a" })
        assert.isTrue(Option.isNone(stored))
        assert.isFalse(orphaned)
      }))

    test("clear ends any lease: its holder commits nothing", (backend) =>
      Effect.gen(function* () {
        const { fence } = yield* lease(backend, { owner: "a" })
        yield* backend.clear("one")
        assert.isFalse(yield* backend.commit("one", { owner: "a", fence, stored: token(1) }))
        yield* lease(backend, { owner: "b" })
      }))

    test("clear forgets that a refresh token was spent", (backend) =>
      Effect.gen(function* () {
        yield* put(backend, token(1))
        const { fence } = yield* lease(backend, { owner: "a", seen: 1 })
        yield* backend.release("one", { owner: "a", fence, spent: true })
        yield* backend.clear("one")
        assert.isFalse((yield* lease(backend, { owner: "b" })).orphaned)
      }))

    test("clear of an unknown identity does nothing", (backend) => backend.clear("unknown"))
  })

  describe(`${name}: transact`, () => {
    const options = { owner: "a", seen: 0, ttl: 10_000 }
    const never = () => Effect.die("no exchange was to be made")

    test("adopts what is newer, without an exchange", (backend) =>
      Effect.gen(function* () {
        yield* put(backend, token(1))
        const adopted = yield* TokenStore.transact(backend, "one", { ...options, exchange: never })
        assert.isTrue(adopted.isAdopted)
        assertSame(Option.some(adopted.token), token(1))
      }))

    for (const [stored, seen, next] of [
      [0, 0, 1],
      [3, 3, 4],
      [3, 7, 8],
      [0, 7, 8]
    ] as const) {
      test(`with generation ${stored} stored and ${seen} seen, the next one is ${next}`, (backend) =>
        Effect.gen(function* () {
          if (stored > 0) yield* put(backend, token(stored))
          const { isPrivate, token: exchanged } = yield* TokenStore.transact(backend, "one", {
            ...options,
            seen,
            exchange: ({ generation }) => Effect.succeed(token(generation))
          })
          assert.isFalse(isPrivate)
          assert.strictEqual(exchanged.generation, next)
          const { stored: now } = yield* lease(backend, { owner: "b", seen: next })
          assertSame(now, token(next))
        }))
    }

    test("an exchange that fails gives the lease back at once, unspent if it says so", (backend) =>
      Effect.gen(function* () {
        const exchange = () => Effect.fail("no network" as const)
        const failed = yield* Effect.exit(TokenStore.transact(backend, "one", { ...options, exchange }))
        assert.deepStrictEqual(failed, Exit.fail("no network" as const))
        assert.isFalse((yield* lease(backend, { owner: "b" })).orphaned)
      }))

    test("an exchange that fails after it sent the refresh token leaves the mark", (backend) =>
      Effect.gen(function* () {
        const exchange = (lease: TokenStore.Lease) => {
          lease.spent = true
          return Effect.fail("answer lost" as const)
        }
        yield* Effect.exit(TokenStore.transact(backend, "one", { ...options, exchange }))
        assert.isTrue((yield* lease(backend, { owner: "b" })).orphaned)
      }))

    test("an exchange that is interrupted gives the lease back at once", (backend) =>
      Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(
          TokenStore.transact(backend, "one", { ...options, exchange: () => Effect.never }),
          { startImmediately: true }
        )
        yield* Effect.yieldNow
        yield* Fiber.interrupt(fiber)
        assert.isFalse((yield* lease(backend, { owner: "b" })).orphaned)
      }))

    test("an exchange that takes over from a dead holder is told so", (backend) =>
      Effect.gen(function* () {
        yield* put(backend, token(1))
        yield* lease(backend, { owner: "dies", seen: 1, ttl: short })
        yield* shortIsOver
        let told: TokenStore.Lease | undefined
        const exchange = (lease: TokenStore.Lease) => {
          told = { ...lease }
          return Effect.succeed(token(lease.generation))
        }
        yield* TokenStore.transact(backend, "one", { ...options, seen: 1, exchange })
        assert.include(told, { orphaned: true, spent: true, generation: 2 })
      }))

    test("a holder that was taken over discards its own and adopts what the other one got", (backend) =>
      Effect.gen(function* () {
        const exchange = () =>
          Effect.gen(function* () {
            yield* shortIsOver
            const { fence } = yield* lease(backend, { owner: "b" })
            yield* backend.commit("one", { owner: "b", fence, stored: token(1, "theirs") })
            return token(1, "ours")
          })
        const { isPrivate, token: adopted } = yield* TokenStore.transact(backend, "one", {
          ...options,
          ttl: short,
          exchange
        })
        assert.isFalse(isPrivate)
        assert.strictEqual(Redacted.value(adopted.accessToken), "theirs")
      }))

    for (const operation of ["acquire", "release"] as const) {
      test(`a store that fails to ${operation} hides no failure of the exchange`, (backend) =>
        Effect.gen(function* () {
          const down = Effect.fail(new TokenError.StoreUnavailable({ operation }))
          const exchange = () => Effect.fail("no network" as const)
          const failure = yield* Effect.flip(
            TokenStore.transact({ ...backend, [operation]: () => down }, "one", { ...options, exchange })
          )
          assert.deepStrictEqual(
            failure,
            operation === "acquire" ? new TokenError.StoreUnavailable({ operation }) : "no network"
          )
        }))
    }

    test("an answer that could not be stored is returned all the same, as private", (backend) =>
      Effect.gen(function* () {
        const commit = () => Effect.fail(new TokenError.StoreUnavailable({ operation: "commit" }))
        const { isPrivate, token: kept } = yield* TokenStore.transact({ ...backend, commit }, "one", {
          ...options,
          exchange: ({ generation }) => Effect.succeed(token(generation))
        })
        assert.isTrue(isPrivate)
        // It claims no generation of the store's.
        assert.deepStrictEqual(plain(kept), { ...plain(token(1)), generation: 0 })
      }))

    test("a credential after a sign-out is newer than the one forgotten, for who has seen neither", (backend) =>
      Effect.gen(function* () {
        yield* put(backend, token(7))
        yield* backend.clear("one")
        const exchange = ({ generation }: TokenStore.Lease) => Effect.succeed(token(generation))
        const { token: next } = yield* TokenStore.transact(backend, "one", { ...options, exchange })
        assert.strictEqual(next.generation, 8)
      }))

    test("after an answer that could not be stored nobody waits for the lease, and the next one logs in", (backend) =>
      Effect.gen(function* () {
        const commit = () => Effect.fail(new TokenError.StoreUnavailable({ operation: "commit" }))
        const exchange = ({ generation }: TokenStore.Lease) => Effect.succeed(token(generation))
        yield* TokenStore.transact({ ...backend, commit }, "one", { ...options, exchange })
        const { orphaned } = yield* lease(backend, { owner: "next" })
        assert.isTrue(orphaned)
      }))
  })
}
