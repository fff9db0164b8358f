import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Queue, Redacted, Stream } from "effect"
import { Migrator, SqlClient } from "effect/sql"
import { TokenStoreSql } from "effect-video-auth"
import * as FakeProvider from "effect-video-auth/testing/FakeProvider"
import { randomUUID } from "node:crypto"
import { durableStoreContract, keyed, type Place } from "../support/durableStoreContract.ts"
import { outageContract, startProcess } from "../support/outageContract.ts"
import { postgres } from "../support/servers.ts"
import { lease, put, token, tokenStoreContract } from "../support/tokenStoreContract.ts"

const connect = (url: string) => Layer.build(PgClient.layer({ url: Redacted.make(url) }))

/** A schema of a test's own, on a server that others use as well; nothing is left there. */
const database = Effect.fnUntraced(function* (url: string) {
  const services = yield* connect(url)
  const sql = Context.get(services, SqlClient.SqlClient)
  const schema = `effect_video_auth_test_${randomUUID().replaceAll("-", "")}`
  const table = `${schema}.tokens`
  yield* Effect.acquireRelease(sql.unsafe(`create schema ${schema}`), () =>
    Effect.orDie(sql.unsafe(`drop schema ${schema} cascade`))
  )
  yield* Effect.provideContext(TokenStoreSql.migration(table), services)
  const open = (options: Partial<TokenStoreSql.Options> = {}) =>
    Effect.provideContext(TokenStoreSql.make({ encryption: keyed(1), table, ...options }), services)
  return { open, schema, services, sql, table: sql(table) }
}, Effect.orDie)

await postgres.describe("on PostgreSQL", (url) => {
  tokenStoreContract(
    "sql",
    Effect.flatMap(database(url), ({ open }) => open()),
    { isLive: true }
  )

  const makePlace = Effect.map(database(url), ({ open, sql, table }): Place<never> => ({
    open: (encryption) => open({ encryption }),
    bytes: Effect.orDie(Effect.map(sql`select t::text as row from ${table} as t`, (rows) => JSON.stringify(rows))),
    record: (identity) =>
      Effect.orDie(
        Effect.map(
          sql<{ record: string }>`select record from ${table} where identity = ${identity}`,
          ([row]) => row?.record ?? assert.fail("there is no row")
        )
      ),
    overwrite: (identity, record) =>
      Effect.orDie(Effect.asVoid(sql`update ${table} set record = ${record} where identity = ${identity}`))
  }))
  durableStoreContract("sql", makePlace)

  describe("sql: changed", () => {
    for (const event of ["commit", "release", "clear"] as const) {
      it.live(`a ${event} wakes all waiters of its identity by notifications, and no others`, () =>
        Effect.gen(function* () {
          const { open, schema, services } = yield* database(url)
          let isListening = false
          const pg = Context.get(services, PgClient.PgClient)
          const listening = Effect.tap(pg.listen(schema), () => Effect.sync(() => void (isListening = true)))
          const notifications = Stream.map(
            Stream.unwrap(Effect.map(listening, Stream.fromQueue)),
            ({ payload }) => payload
          )
          const backend = yield* open({ channel: schema, notifications })
          yield* lease(backend, "a")
          const waiters = yield* Effect.forEach(["one", "one", "two"], (identity) =>
            Effect.forkChild(backend.changed?.(identity) ?? Effect.void)
          )
          // A hint may get lost that comes before somebody listens.
          yield* Effect.repeat(Effect.sleep(5), { until: () => isListening })
          if (event === "commit") yield* put(backend, token(1))
          if (event === "release") yield* backend.release("one", { attempt: "a", unused: true })
          if (event === "clear") yield* backend.clear("one", 0)
          yield* Effect.forEach(waiters.slice(0, 2), Fiber.join)
          assert.isUndefined(waiters[2]?.pollUnsafe())
        })
      )
    }
  })

  it.live("sql: nobody listens or announces unless that was asked for", () =>
    Effect.gen(function* () {
      const { open, schema, services } = yield* database(url)
      const silent = yield* open()
      assert.isUndefined(silent.changed)
      const messages = yield* Context.get(services, PgClient.PgClient).listen(schema)
      yield* put(silent, token(1))
      yield* put(yield* open({ channel: schema }), token(2), "two")
      // The first that arrives is of the one that announces.
      assert.strictEqual((yield* Queue.take(messages)).payload, "two")
    })
  )

  it.live("sql: what is stored within a transaction of the program stays when that is rolled back", () =>
    Effect.gen(function* () {
      const { open, sql } = yield* database(url)
      const backend = yield* open()
      yield* Effect.exit(sql.withTransaction(Effect.andThen(put(backend, token(1)), Effect.fail("rolled back"))))
      assert.strictEqual((yield* backend.read("one")).version, 1)
    })
  )

  it.live("sql: the migration is one of Effect's Migrator, and makes the table once", () =>
    Effect.gen(function* () {
      const { schema, services } = yield* database(url)
      const table = `${schema}.migrated`
      const migrate = Migrator.make({})({
        loader: Migrator.fromRecord({ "0001_tokens": TokenStoreSql.migration(table) }),
        table: `${schema}_migrations`
      })
      const sql = Context.get(services, SqlClient.SqlClient)
      yield* Effect.addFinalizer(() => Effect.orDie(sql.unsafe(`drop table if exists ${schema}_migrations`)))
      yield* Effect.provideContext(Effect.andThen(migrate, migrate), services)
      const backend = yield* Effect.provideContext(TokenStoreSql.make({ encryption: keyed(1), table }), services)
      yield* put(backend, token(1))
    })
  )

  it.live("sql: a missing table is reported by its code", () =>
    Effect.gen(function* () {
      const { open } = yield* database(url)
      const backend = yield* open({ table: "no such table" })
      const reason = yield* Effect.flip(backend.read("one"))
      assert.deepInclude(reason, { _tag: "StoreUnavailable", operation: "read", problem: "42P01" })
    })
  )

  /** The URL of the same database, where transactions are isolated by default as `level` says. */
  const isolated = (level: string) => {
    const strict = new URL(url)
    strict.searchParams.set("options", `-c default_transaction_isolation=${level.replace(" ", "\\ ")}`)
    return String(strict).replaceAll("+", "%20")
  }

  for (const level of ["read committed", "repeatable read", "serializable"]) {
    it.live(`sql: 16 processes create the table at the same time, 20 times, isolated as ${level}`, () =>
      Effect.gen(function* () {
        const { schema } = yield* database(url)
        const client = Layer.build(PgClient.layer({ url: Redacted.make(isolated(level)), maxConnections: 1 }))
        const clients = yield* Effect.replicateEffect(client, 16)
        const shown = yield* Effect.forEach(clients, (client) =>
          Effect.provideContext(
            SqlClient.SqlClient.use((sql) => sql`show transaction_isolation`),
            client
          )
        )
        for (const rows of shown) assert.deepStrictEqual(rows, [{ transaction_isolation: level }])
        for (let round = 1; round <= 20; round++) {
          const migrate = TokenStoreSql.migration(`${schema}.round_${round}`)
          yield* Effect.forEach(clients, (client) => Effect.provideContext(migrate, client), {
            concurrency: "unbounded"
          })
        }
      })
    )
  }

  it.live("sql: a role with the documented rights can do everything", () =>
    Effect.gen(function* () {
      const { schema, sql } = yield* database(url)
      const role = `${schema}_user`
      yield* Effect.acquireRelease(sql.unsafe(`create role ${role} login`), () =>
        Effect.orDie(Effect.andThen(sql.unsafe(`drop owned by ${role}`), sql.unsafe(`drop role ${role}`)))
      )
      yield* sql.unsafe(`grant usage on schema ${schema} to ${role}`)
      yield* sql.unsafe(`grant select, insert, update on ${schema}.tokens to ${role}`)
      const own = new URL(url)
      own.username = role
      const backend = yield* Effect.provideContext(
        TokenStoreSql.make({ encryption: keyed(1), table: `${schema}.tokens` }),
        yield* connect(own.href)
      )
      yield* put(backend, token(1))
      yield* lease(backend, "a")
      assert.isTrue(yield* backend.sending("one", { attempt: "a", version: 1, kind: "refresh", marks: true }))
      assert.isTrue(yield* backend.beat("one", "a"))
      yield* backend.release("one", { attempt: "a", unused: true })
      yield* backend.clear("one", 0)
    })
  )

  it.live("sql: a process that waits only reads", () =>
    Effect.gen(function* () {
      const { open, schema } = yield* database(url)
      yield* put(yield* open(), token(1))
      const readOnly = new URL(url)
      readOnly.searchParams.set("options", "-c default_transaction_read_only=on")
      const backend = yield* Effect.provideContext(
        TokenStoreSql.make({ encryption: keyed(1), table: `${schema}.tokens` }),
        yield* connect(readOnly.href.replaceAll("+", "%20"))
      )
      const { revision, version } = yield* backend.read("one")
      assert.strictEqual(version, 1)
      const reason = yield* Effect.flip(backend.claim("one", { attempt: "a", revision }))
      assert.deepInclude(reason, { _tag: "StoreUnavailable", operation: "claim", problem: "25006" })
    })
  )

  it.live("sql: the migration needs no right to create tables once the table exists", () =>
    Effect.gen(function* () {
      const { schema, sql } = yield* database(url)
      const role = `${schema}_user`
      yield* Effect.acquireRelease(sql.unsafe(`create role ${role}`), () =>
        Effect.orDie(Effect.andThen(sql.unsafe(`drop owned by ${role}`), sql.unsafe(`drop role ${role}`)))
      )
      yield* sql.unsafe(`grant usage on schema ${schema} to ${role}`)
      const migrateAs = (table: string) =>
        sql.withTransaction(
          Effect.andThen(
            sql.unsafe(`set local role ${role}`),
            Effect.provideService(TokenStoreSql.migration(`${schema}.${table}`), SqlClient.SqlClient, sql)
          )
        )
      yield* migrateAs("tokens")
      assert.strictEqual((yield* Effect.flip(migrateAs("others"))).reason._tag, "AuthorizationError")
    })
  )

  for (const level of ["repeatable read", "serializable"])
    it.live(`sql: one of 8 simultaneous claims is granted, isolated as ${level}`, () =>
      Effect.gen(function* () {
        const { table, schema } = yield* database(url)
        const clients = yield* connect(isolated(level))
        const sql = Context.get(clients, SqlClient.SqlClient)
        const [shown] = yield* sql`show transaction_isolation`
        assert.deepStrictEqual(shown, { transaction_isolation: level })
        const backend = yield* Effect.provideContext(
          TokenStoreSql.make({ encryption: keyed(1), table: `${schema}.tokens` }),
          clients
        )
        for (let round = 0; round < 10; round++) {
          yield* sql`delete from ${table}`
          if (round % 2 === 1) yield* put(backend, token(1))
          const { revision } = yield* backend.read("one")
          const granted = yield* Effect.forEach(
            Array.from({ length: 8 }, (_, index) => `attempt-${index}`),
            (attempt) => backend.claim("one", { attempt, revision }),
            { concurrency: "unbounded" }
          )
          assert.strictEqual(granted.filter((granted) => granted).length, 1)
        }
      })
    )

  /** Nobody gets at the table while the effect runs. */
  const locked = Effect.fnUntraced(function* <A, E, R>(
    { sql, table }: { readonly sql: SqlClient.SqlClient; readonly table: ReturnType<SqlClient.SqlClient> },
    effect: Effect.Effect<A, E, R>
  ) {
    return yield* sql.withTransaction(Effect.andThen(sql`lock table ${table} in access exclusive mode`, effect))
  })

  it.live("sql: a statement without a response fails after 4 s", () =>
    Effect.gen(function* () {
      const here = yield* database(url)
      const backend = yield* here.open()
      const reason = yield* locked(here, Effect.flip(Effect.timeout(backend.read("one"), "10 seconds")))
      assert.deepInclude(reason, { _tag: "StoreUnavailable", operation: "read", problem: "timeout" })
      yield* lease(yield* here.open(), "b")
    })
  )

  it.live("sql: a cold caller gets a token by a private login if the database does not respond", () =>
    Effect.gen(function* () {
      const here = yield* database(url)
      const service = yield* startProcess({ open: here.open() }, FakeProvider.make())
      const served = yield* locked(here, Effect.timeout(service.get, "12 seconds"))
      assert.strictEqual(Redacted.value(served.accessToken), "access-1")
      assert.include(yield* service.state, { degraded: true })
    })
  )
})

postgres.describeOwn("on a PostgreSQL that is stopped", (own) => {
  outageContract(
    "sql",
    Effect.gen(function* () {
      const { start, stop, url } = yield* own
      const open = Effect.flatMap(connect(url), (services) =>
        Effect.provideContext(TokenStoreSql.make({ encryption: keyed(1) }), services)
      )
      yield* Effect.flatMap(connect(url), (services) => Effect.provideContext(TokenStoreSql.migration(), services))
      return { start, stop, open }
    }).pipe(Effect.orDie)
  )
})
