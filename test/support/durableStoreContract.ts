/** What a store owes its users that outlives the process, as tests: run it over each durable backend there is. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Logger, Option, Redacted, type Scope } from "effect"
import { type AccessToken, TokenEncryption, TokenService, TokenStore } from "effect-video-auth"
import * as FakeProvider from "effect-video-auth/testing/FakeProvider"
import { lease, put, token } from "./tokenStoreContract.ts"

/** A place that is empty, and what somebody can do there who is not this library. */
export interface Place<E> {
  /** A backend on it, as another process would make one. */
  readonly open: (
    encryption: Effect.Effect<TokenEncryption.TokenEncryption>
  ) => Effect.Effect<TokenStore.Backend, E, Scope.Scope>
  /** Every byte that is stored. */
  readonly bytes: Effect.Effect<string, E>
  readonly record: (identity: string) => Effect.Effect<string, E>
  readonly overwrite: (identity: string, record: string) => Effect.Effect<void, E>
}

const keyOf = (fill: number) => Redacted.make(Buffer.alloc(32, fill).toString("base64"))

/** An encryption with keys that tests tell apart by a number. */
export const keyed = (first: number, ...others: ReadonlyArray<number>) =>
  Effect.orDie(TokenEncryption.make({ keys: [keyOf(first), ...others.map(keyOf)] }))

/** A clock that is wrong by so many milliseconds. */
const wrongBy = (millis: number) =>
  Effect.map(Clock.Clock, (clock): Clock.Clock => {
    const currentTimeMillisUnsafe = () => clock.currentTimeMillisUnsafe() + millis
    const currentTimeNanosUnsafe = () => clock.currentTimeNanosUnsafe() + BigInt(millis) * 1_000_000n
    return Object.assign(Object.create(clock), {
      currentTimeMillisUnsafe,
      currentTimeNanosUnsafe,
      currentTimeMillis: Effect.sync(currentTimeMillisUnsafe),
      currentTimeNanos: Effect.sync(currentTimeNanosUnsafe)
    })
  })

/**
 * The contract. `hasOwnKey` says that the store keeps a key of its own, and takes none; `sharesClock` that all who use it are on one
 * machine, whose clock is the store's.
 */
export const durableStoreContract = <E>(
  name: string,
  makePlace: Effect.Effect<Place<E>, E, Scope.Scope>,
  { hasOwnKey = false, sharesClock = false }: { readonly hasOwnKey?: boolean; readonly sharesClock?: boolean } = {}
) => {
  const test = <E2>(name: string, body: (place: Place<E>) => Effect.Effect<void, E2, Scope.Scope>) =>
    it.live(name, () => Effect.flatMap(makePlace, body))

  const stored = (backend: TokenStore.Backend, identity = "one") =>
    Effect.map(backend.read(identity), ({ record }) => Option.fromUndefinedOr(record))

  describe(`${name}: what is stored`, () => {
    const secret = token(1, "a-secret-that-can-be-found")
    const secrets = ["a-secret-that-can-be-found", "refresh-of-"] as const

    test("holds no secret in clear", (place) =>
      Effect.gen(function* () {
        const backend = yield* place.open(keyed(1))
        yield* put(backend, secret)
        // Also not while it is leased, and what is left of an earlier one.
        yield* lease(backend, "a")
        yield* put(backend, token(2, "a-secret-that-can-be-found"))
        yield* lease(backend, "b")
        const bytes = yield* place.bytes
        assert.isAbove(bytes.length, 100)
        for (const secret of secrets) {
          assert.notInclude(bytes, secret)
          assert.notInclude(bytes, Buffer.from(secret).toString("base64").slice(0, 16))
        }
      }))

    if (!hasOwnKey)
      test("is in clear where that was asked for by name", (place) =>
        Effect.gen(function* () {
          yield* put(yield* place.open(TokenEncryption.plainText), secret)
          const bytes = yield* place.bytes
          for (const secret of secrets) assert.include(bytes, secret)
          const read = yield* stored(yield* place.open(TokenEncryption.plainText))
          assert.deepStrictEqual(
            Option.map(read, ({ accessToken }) => Redacted.value(accessToken)),
            Option.some(secrets[0])
          )
        }))

    test("holds nothing of a credential that was cleared", (place) =>
      Effect.gen(function* () {
        const backend = yield* place.open(TokenEncryption.plainText)
        yield* put(backend, secret)
        yield* backend.clear("one", 0)
        const bytes = yield* place.bytes
        for (const secret of secrets) assert.notInclude(bytes, secret)
      }))

    if (!hasOwnKey)
      test("is read by a process that has replaced the key, and written with the new one", (place) =>
        Effect.gen(function* () {
          yield* put(yield* place.open(keyed(1)), token(1))
          const rotated = yield* place.open(keyed(2, 1))
          assert.isTrue(Option.isSome(yield* stored(rotated)))
          yield* put(rotated, token(2))
          assert.isTrue(Option.isSome(yield* stored(yield* place.open(keyed(2)))))
        }))
  })

  describe(`${name}: a record that cannot be used`, () => {
    const flipped = (record: string, at: number) =>
      `${record.slice(0, at)}${record[at] === "A" ? "B" : "A"}${record.slice(at + 1)}`

    /** Each takes a place that holds generation 2 of `one`. */
    const spoilt: ReadonlyArray<readonly [what: string, spoil: (place: Place<E>) => Effect.Effect<unknown, E>]> = [
      ["was changed", (place) => edit(place, (record) => flipped(record, record.length - 40))],
      ["has another nonce", (place) => edit(place, (record) => flipped(record, 15))],
      ["was cut off", (place) => edit(place, (record) => record.slice(0, -20))],
      ["is next to nothing", (place) => edit(place, (record) => record.slice(0, 14))],
      ["is nothing", (place) => edit(place, () => "")],
      ["is anything", (place) => edit(place, () => '{"accessToken":"hers"}')],
      ["is of a version unknown", (place) => edit(place, (record) => record.replace("v1", "v9"))],
      ["names another key", (place) => edit(place, (record) => record.replace(/\.[^.]*\./, ".00000000."))],
      [
        "is in clear",
        (place) =>
          Effect.flatMap(TokenEncryption.plainText, (clear) =>
            Effect.flatMap(clear.encode("one", token(2, "planted")), (record) => place.overwrite("one", record))
          )
      ],
      [
        "is another identity's",
        Effect.fnUntraced(function* (place) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const backend = yield* place.open(keyed(1))
              yield* Effect.orDie(put(backend, token(2, "of-two"), "two"))
            })
          )
          yield* place.overwrite("one", yield* place.record("two"))
        })
      ],
      [
        "is an earlier one of its own",
        Effect.fnUntraced(function* (place) {
          const encryption = yield* keyed(1)
          yield* place.overwrite("one", yield* encryption.encode("one", token(1)))
        })
      ]
    ]
    const edit = (place: Place<E>, by: (record: string) => string) =>
      Effect.flatMap(place.record("one"), (record) => place.overwrite("one", by(record)))

    for (const [what, spoil] of spoilt) {
      test(`because it ${what} counts as missing, with one warning, and can be replaced`, (place) =>
        Effect.gen(function* () {
          const backend = yield* place.open(keyed(1))
          yield* put(backend, token(1))
          yield* put(backend, token(2))
          yield* spoil(place)
          const warnings: Array<string> = []
          const logger = Logger.make(({ logLevel, message }) => void warnings.push(`${logLevel}: ${String(message)}`))
          const reader = yield* place.open(keyed(1))
          const rows = yield* Effect.replicateEffect(reader.read("one"), 3).pipe(Effect.provide(Logger.layer([logger])))
          for (const { record, version } of rows) assert.deepStrictEqual([record, version], [undefined, 2])
          assert.match(warnings.join("\n"), /^Warn: The stored credential of one cannot be used: it /)
          assert.strictEqual(warnings.length, 1)
          yield* put(reader, token(3))
          assert.isTrue(Option.isSome(yield* stored(backend)))
        }))
    }
  })

  if (!sharesClock)
    describe(`${name}: processes whose clocks are 90 s wrong, each way`, () => {
      /** Tokens that live for less than the clocks are apart. */
      const lifetime = 60_000
      const start = Effect.fnUntraced(function* (
        place: Place<E>,
        fake: FakeProvider.FakeProvider["Service"],
        by: number
      ) {
        const clock = yield* wrongBy(by)
        const store = yield* Effect.flatMap(place.open(keyed(1)), TokenStore.make).pipe(
          Effect.provideService(Clock.Clock, clock)
        )
        const service = yield* TokenService.make({ provider: fake.provider, policy: { whenIdle: "on-demand" } }).pipe(
          Effect.provideService(TokenStore.TokenStore, store),
          Effect.provideService(Clock.Clock, clock)
        )
        /** What is left of a token, for who looks at this clock. */
        const left = ({ expiresAt }: AccessToken.AccessToken) => expiresAt - clock.currentTimeMillisUnsafe()
        return { service, left }
      })

      for (const [first, second] of [
        [90_000, -90_000],
        [-90_000, 90_000]
      ] as const) {
        test(`${first / 1000} s: the other one knows how long a token of this one lives, and does not renew it`, (place) =>
          Effect.gen(function* () {
            const fake = FakeProvider.make({ lifetime })
            const one = yield* start(place, fake, first)
            const other = yield* start(place, fake, second)
            const made = yield* one.service.get
            const adopted = yield* other.service.get
            assert.strictEqual(Redacted.value(adopted.accessToken), Redacted.value(made.accessToken))
            // Never longer than it does, by more than a file system's tick.
            assert.isAtMost(other.left(adopted), one.left(made) + 20)
            assert.isAbove(other.left(adopted), lifetime - 10_000)
            assert.include(yield* fake.ledger, { logins: 1, refreshes: 0 })
            // And back: what the other one gets is adopted here.
            const renewed = yield* other.service.renew
            const back = yield* one.service.renew
            assert.strictEqual(Redacted.value(back.accessToken), Redacted.value(renewed.accessToken))
            assert.isAtMost(one.left(back), other.left(renewed) + 20)
            assert.include(yield* fake.ledger, { logins: 1, refreshes: 1 })
          }))
      }
    })
}
