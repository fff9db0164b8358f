/** What every `TokenStore` backend owes the protocol, as tests. Run it over each backend. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, type Scope } from "effect"
import { TestClock } from "effect/testing"
import { AccessToken, type TokenError, type TokenStore } from "effect-video-auth"
import * as StoreRow from "../../src/token/shared/storeRow.ts"
import { numbers } from "../model/scheduler.ts"
import { seed } from "./random.ts"

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

/** All fields of a credential, with its secrets in clear, so that two can be compared. */
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

/** Takes the lease, which must be free, and returns the row. */
export const lease = Effect.fnUntraced(function* (backend: TokenStore.Backend, attempt: string, identity = "one") {
  const row = yield* backend.read(identity)
  assert.isTrue(yield* backend.claim(identity, { attempt, revision: row.revision }))
  return row
})

let commits = 0

/** Commits a credential, whatever is there. Its generation becomes its version. */
export const put = Effect.fnUntraced(function* (
  backend: TokenStore.Backend,
  record: AccessToken.AccessToken,
  identity = "one"
) {
  const { version } = yield* backend.read(identity)
  const next = record.generation
  const commit = { attempt: `put-${++commits}`, version, next, loginVersion: next, record }
  assert.isTrue(yield* backend.commit(identity, commit))
})

/** What is the same on every clock, in every backend. */
const comparable = ({ committedBy, epoch, lease, loginVersion, record, revision, sent, version }: TokenStore.Row) => ({
  revision,
  epoch,
  version,
  loginVersion,
  record: record && Redacted.value(record.accessToken),
  committedBy,
  sent: sent && { attempt: sent.attempt, isOver: sent.at === 0 },
  lease: lease && { attempt: lease.attempt, beat: lease.beat, sending: lease.sending }
})

interface Step {
  readonly name: string
  readonly run: (backend: TokenStore.Backend) => Effect.Effect<boolean | void, TokenError.StoreUnavailable>
  readonly expected: (row: TokenStore.Row) => StoreRow.Written<AccessToken.AccessToken>
}

/** Draws a write that makes sense on a row, or just does not. */
const drawStep = (row: TokenStore.Row, random: () => number): Step => {
  const pick = <A>(...values: readonly [A, ...ReadonlyArray<A>]) =>
    values[Math.floor(random() * values.length)] ?? values[0]
  const attempt = pick("a", "b", row.lease?.attempt ?? "c", row.sent?.attempt ?? "c")
  const near = (value: number) => Math.max(0, pick(value, value, value, value - 1, value + 1))
  switch (pick("claim", "claim", "sending", "sending", "beat", "commit", "release", "clear")) {
    case "claim": {
      const options = { attempt, revision: near(row.revision) }
      return {
        name: `claim ${JSON.stringify(options)}`,
        run: (backend) => backend.claim("one", options),
        expected: (row) => StoreRow.claim(row, options, 1)
      }
    }
    case "sending": {
      const kind = pick<TokenStore.ExchangeKind>("login", "refresh")
      const options = { attempt, version: near(row.version), kind, marks: kind === "refresh" && random() < 0.8 }
      return {
        name: `sending ${JSON.stringify(options)}`,
        run: (backend) => backend.sending("one", options),
        expected: (row) => StoreRow.sending(row, options, 1)
      }
    }
    case "beat":
      return {
        name: `beat ${attempt}`,
        run: (backend) => backend.beat("one", attempt),
        expected: (row) => StoreRow.beat(row, attempt, 1)
      }
    case "commit": {
      const version = near(row.version)
      const next = version + pick(1, 1, 2)
      const options = { attempt, version, next, loginVersion: pick(next, row.loginVersion), record: token(next) }
      return {
        name: `commit ${JSON.stringify({ ...options, record: undefined })}`,
        run: (backend) => backend.commit("one", options),
        expected: (row) => StoreRow.commit(row, options)
      }
    }
    case "release": {
      const unused = random() < 0.5
      return {
        name: `release ${attempt} ${unused}`,
        run: (backend) => backend.release("one", { attempt, unused }),
        expected: (row) => StoreRow.release(row, attempt, unused)
      }
    }
    case "clear": {
      const epoch = near(row.epoch)
      return {
        name: `clear ${epoch}`,
        run: (backend) => backend.clear("one", epoch),
        expected: (row) => StoreRow.clear(row, epoch)
      }
    }
  }
}

/**
 * The contract. `isLive` says that time passes on a clock of the store's own, so instants are read back with the latency of a
 * call taken off. Each test uses a backend of its own, which must be empty.
 */
export const tokenStoreContract = <E>(
  name: string,
  makeBackend: Effect.Effect<TokenStore.Backend, E, Scope.Scope>,
  { isLive = false }: { readonly isLive?: boolean } = {}
) => {
  const test = <E2>(name: string, body: (backend: TokenStore.Backend) => Effect.Effect<void, E2, Scope.Scope>) =>
    (isLive ? it.live : it.effect)(name, () => Effect.flatMap(makeBackend, body))

  describe(`${name}: the backend`, () => {
    test(`writes what the rules say, in any order of writes (seed ${seed})`, (backend) =>
      Effect.gen(function* () {
        const random = numbers([...seed].reduce((sum, char) => (sum * 31 + char.charCodeAt(0)) | 0, 1))
        let row: TokenStore.Row = StoreRow.emptyRow
        const done: Array<string> = []
        // An instant of 0 has a meaning of its own.
        if (!isLive) yield* TestClock.adjust(1)
        for (let index = 0; index < 150; index++) {
          const step = drawStep(row, random)
          done.push(step.name)
          const expected = step.expected(row)
          const granted = yield* step.run(backend)
          const history = done.slice(-8).join("\n")
          if (granted !== undefined) assert.strictEqual(granted, expected.granted, history)
          assert.deepStrictEqual(comparable(yield* backend.read("one")), comparable(expected.row), history)
          row = expected.row
        }
      }))

    test("is empty at first", (backend) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(comparable(yield* backend.read("one")), comparable(StoreRow.emptyRow))
      }))

    test("writes nothing when it is read", (backend) =>
      Effect.gen(function* () {
        yield* put(backend, token(1))
        const { revision } = yield* backend.read("one")
        yield* Effect.replicateEffect(backend.read("one"), 5)
        assert.strictEqual((yield* backend.read("one")).revision, revision)
      }))

    test("keeps every field of a credential", (backend) =>
      Effect.gen(function* () {
        yield* put(backend, token(3))
        const { record, version } = yield* backend.read("one")
        assert.strictEqual(version, 3)
        const expected = token(3)
        const delay = expected.expiresAt - (record?.expiresAt ?? 0)
        assert.isAtMost(delay, isLive ? 2_000 : 0)
        // The clock of a file system ticks every few milliseconds.
        assert.isAtLeast(delay, isLive ? -20 : 0)
        assert.deepStrictEqual(record && plain(record), plain(ahead(expected, -delay)))
      }))

    for (const first of [0, 1]) {
      test(`gives its lease to one of 30 that claim revision ${first} at once`, (backend) =>
        Effect.gen(function* () {
          if (first > 0) yield* put(backend, token(1))
          const { revision } = yield* backend.read("one")
          const granted = yield* Effect.forEach(
            Array.from({ length: 30 }, (_, index) => `attempt-${index}`),
            (attempt) => Effect.map(backend.claim("one", { attempt, revision }), (granted) => ({ attempt, granted })),
            { concurrency: "unbounded" }
          )
          const winners = granted.filter(({ granted }) => granted).map(({ attempt }) => attempt)
          assert.strictEqual(winners.length, 1)
          assert.strictEqual((yield* backend.read("one")).lease?.attempt, winners[0])
        }))
    }

    test("lets one of 30 commits on the same version through", (backend) =>
      Effect.gen(function* () {
        yield* put(backend, token(1))
        const granted = yield* Effect.forEach(
          Array.from({ length: 30 }, (_, index) => `attempt-${index}`),
          (attempt) =>
            backend.commit("one", { attempt, version: 1, next: 2, loginVersion: 1, record: token(2, attempt) }),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(granted.filter((granted) => granted).length, 1)
        const { committedBy, record } = yield* backend.read("one")
        assert.strictEqual(record && Redacted.value(record.accessToken), committedBy)
      }))

    test("lets one of 30 marks through", (backend) =>
      Effect.gen(function* () {
        yield* put(backend, token(1))
        const marks = yield* Effect.forEach(
          Array.from({ length: 30 }, (_, index) => `attempt-${index}`),
          (attempt) =>
            Effect.gen(function* () {
              const { revision } = yield* backend.read("one")
              yield* backend.claim("one", { attempt, revision })
              return yield* backend.sending("one", { attempt, version: 1, kind: "refresh", marks: true })
            }),
          { concurrency: "unbounded" }
        )
        assert.isAtMost(marks.filter((granted) => granted).length, 1)
      }))

    test("refuses a mark while that of an earlier attempt stands, though the lease is another's by now", (backend) =>
      Effect.gen(function* () {
        yield* put(backend, token(1))
        const marking = (attempt: string) =>
          Effect.gen(function* () {
            yield* lease(backend, attempt)
            return yield* backend.sending("one", { attempt, version: 1, kind: "refresh", marks: true })
          })
        assert.isTrue(yield* marking("a"))
        assert.isFalse(yield* marking("b"))
        assert.strictEqual((yield* backend.read("one")).sent?.attempt, "a")
      }))

    test("repeats a claim, a mark and a commit whose reply was lost", (backend) =>
      Effect.gen(function* () {
        yield* put(backend, token(1))
        const { revision } = yield* backend.read("one")
        const mark = { attempt: "a", version: 1, kind: "refresh", marks: true } as const
        const commit = { attempt: "a", version: 1, next: 2, loginVersion: 1, record: token(2) }
        for (let time = 0; time < 2; time++) assert.isTrue(yield* backend.claim("one", { attempt: "a", revision }))
        for (let time = 0; time < 2; time++) assert.isTrue(yield* backend.sending("one", mark))
        for (let time = 0; time < 2; time++) assert.isTrue(yield* backend.commit("one", commit))
        assert.isFalse(yield* backend.claim("one", { attempt: "a", revision }))
      }))

    test("keeps identities apart", (backend) =>
      Effect.gen(function* () {
        yield* put(backend, token(1))
        yield* lease(backend, "a")
        const other = yield* backend.read("two")
        assert.deepStrictEqual(comparable(other), comparable(StoreRow.emptyRow))
      }))

    test("does nothing when an unknown identity is cleared or released", (backend) =>
      Effect.gen(function* () {
        yield* backend.clear("unknown", 0)
        yield* backend.release("unknown", { attempt: "a", unused: true })
        assert.deepStrictEqual(comparable(yield* backend.read("unknown")), comparable(StoreRow.emptyRow))
      }))
  })
}
