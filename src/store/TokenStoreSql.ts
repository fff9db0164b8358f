/**
 * A token store in PostgreSQL, on Effect's `SqlClient`, for a program that has a database already.
 *
 * Everything about an identity is one row, which each operation reads and changes by one statement, on the database's
 * clock. No transaction and no connection is held while a platform is asked. {@link migration} makes the table; the store
 * itself never does.
 *
 * **Example** (A credential beside the program's own data)
 *
 * ```ts
 * import { NodeHttpClient } from "@effect/platform-node"
 * import { PgClient } from "@effect/sql-pg"
 * import { Config, Layer } from "effect"
 * import { ApiVideo, TokenEncryption, TokenStoreSql } from "effect-video-auth"
 *
 * const StoreLive = TokenStoreSql.layer({ encryption: TokenEncryption.config("TOKEN_STORE_KEYS") }).pipe(
 *   Layer.provide(PgClient.layerConfig({ url: Config.Redacted("DATABASE_URL") }))
 * )
 *
 * export const ApiVideoLive = ApiVideo.layerConfig({ apiKey: Config.Redacted("APIVIDEO_API_KEY") }).pipe(
 *   Layer.provide([StoreLive, NodeHttpClient.layerUndici])
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type * as Stream from "effect/Stream"
import * as StoreBackend from "./internal/storeBackend.ts"
import type { TokenEncryption } from "./TokenEncryption.ts"
import * as TokenStore from "../token/TokenStore.ts"

/**
 * Where in the database the credentials are, and how they are kept.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options<E = never> {
  /** `TokenEncryption.config("TOKEN_STORE_KEYS")`, `TokenEncryption.make({ keys })` or `TokenEncryption.plainText`. */
  readonly encryption: Effect.Effect<TokenEncryption, E>
  /**
   * The table, with a schema before it if need be, as in `auth.tokens`.
   * @default "effect_video_auth_tokens"
   */
  readonly table?: string | undefined
  /**
   * How long a lease is held at most, and so how long the others wait for a holder that was killed. A holder that takes
   * longer loses it, so it should outlive the platform's slowest answer.
   * @default what outlives the worst attempt: twice the policy's `exchangeTimeout` and 5 seconds
   */
  readonly lease?: Duration.Input | undefined
  /** Changes are announced on this channel of PostgreSQL (`NOTIFY`), for the `notifications` of others. */
  readonly channel?: string | undefined
  /**
   * The identities whose credentials change, so that a process which waits for another's renewal is told. It is run when
   * there is first something to wait for. Without it such a process asks four times a second.
   *
   * **Example** (Listening on a channel, which holds a connection)
   *
   * ```ts
   * import { PgClient } from "@effect/sql-pg"
   * import { Effect, Layer, Stream } from "effect"
   * import { TokenEncryption, TokenStoreSql } from "effect-video-auth"
   *
   * const channel = "tokens"
   * export const StoreLive = Layer.unwrap(
   *   PgClient.PgClient.useSync((pg) =>
   *     TokenStoreSql.layer({
   *       encryption: TokenEncryption.config("TOKEN_STORE_KEYS"),
   *       channel,
   *       notifications: Stream.unwrap(Effect.map(pg.listen(channel), Stream.fromQueue)).pipe(
   *         Stream.map(({ payload }) => payload)
   *       )
   *     })
   *   )
   * )
   * ```
   */
  readonly notifications?: Stream.Stream<string, unknown> | undefined
}

const defaultTable = "effect_video_auth_tokens"

const quoted = (table: string): string =>
  table
    .split(".")
    .map((name) => `"${name.replaceAll('"', '""')}"`)
    .join(".")

/**
 * The statement that makes the table, for those who keep their migrations as SQL.
 *
 * **Example** (For a file of migrations)
 *
 * ```ts
 * import { TokenStoreSql } from "effect-video-auth"
 *
 * TokenStoreSql.createTable("auth.tokens").split("\n")[0] // => 'create table if not exists "auth"."tokens" ('
 * ```
 *
 * @category migrations
 * @since 0.1.0
 */
export const createTable = (table: string = defaultTable): string => `create table if not exists ${quoted(table)} (
  identity text primary key,
  record text,
  generation bigint not null default 0,
  spent boolean not null default false,
  fence bigint not null default 0,
  owner text,
  lease_until timestamptz,
  orphaned boolean not null default false
)`

/** Names the advisory lock under which {@link migration} creates a table. Any number that other programs don't use will do. */
const migrationLock = 6_649_441_763

/**
 * Creates the table unless it exists. Use it as a migration of Effect's `Migrator`, or run it in every process at startup:
 * any number of processes may run it at the same time, at any isolation level. Once the table exists, it needs no right to
 * create tables.
 *
 * **Example** (Among the program's own migrations)
 *
 * ```ts
 * import { PgMigrator } from "@effect/sql-pg"
 * import { TokenStoreSql } from "effect-video-auth"
 *
 * export const MigrationsLive = PgMigrator.layer({
 *   loader: PgMigrator.fromRecord({ "0001_tokens": TokenStoreSql.migration() })
 * })
 * ```
 *
 * @category migrations
 * @since 0.1.0
 */
export const migration = /* @__PURE__ */ Effect.fnUntraced(function* (
  table: string = defaultTable
): Effect.fn.Return<void, SqlError, SqlClient.SqlClient> {
  const sql = yield* SqlClient.SqlClient
  const [found] = yield* sql<{ exists: boolean }>`select to_regclass(${quoted(table)}) is not null as exists`
  if (found?.exists === true) return
  // "if not exists" alone isn't enough: PostgreSQL checks before it creates, and the loser of that race fails with 23505
  // or 42710. A failure would also abort the transaction of a migrator, so the processes take turns instead of retrying.
  yield* sql.withTransaction(
    Effect.andThen(sql`select pg_advisory_xact_lock(${migrationLock}::bigint)`, sql.unsafe(createTable(table)))
  )
})

/** A row that `acquire` gives: exactly one. */
interface Answer {
  readonly tag: StoreBackend.Taken["_tag"]
  readonly now: number
  readonly record: string | null
  readonly generation: number
  readonly fence: number
  readonly orphaned: boolean
  readonly retry_after: number
}

/**
 * The backend of {@link layer}. It needs a scope: `notifications` are read in it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = /* @__PURE__ */ Effect.fnUntraced(function* <E>(
  options: Options<E>
): Effect.fn.Return<TokenStore.Backend, E, SqlClient.SqlClient | Scope.Scope> {
  const sql = (yield* SqlClient.SqlClient).withoutTransforms()
  const table = sql.literal(quoted(options.table ?? defaultTable))
  const now = sql.literal("(extract(epoch from clock_timestamp()) * 1000)::float8")
  /** What a change comes to: as many rows as were changed, and the word of it if somebody wants it. */
  const announced =
    options.channel === undefined
      ? sql`select 1 from done`
      : sql`select pg_notify(${options.channel}, identity) from done`

  // Whoever asks may be in a transaction of the program's, which may last, and be rolled back.
  const alone = <A>(statement: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> =>
    Effect.updateContext(
      // Where statements are isolated more strictly than by default, of those at the same time all but one are refused.
      Effect.retry(statement, {
        while: ({ reason }) => reason._tag === "SerializationError" || reason._tag === "DeadlockError"
      }),
      Context.omit(sql.transactionService)
    )

  return yield* StoreBackend.make(
    {
      acquire: (identity, { notAfter = null, owner, seen, ttl }) => {
        const until = sql`clock_timestamp() + ${ttl}::float8 * interval '1 millisecond'`
        const inTime = sql`(${notAfter}::float8 is null or ${now} <= ${notAfter}::float8)`
        // What the row was is computed where it is changed, on its latest version: this statement's other parts see the
        // table as it was when it began. They only tell those apart who have no lease, and may be told to ask again.
        const statement = sql<Answer>`
with leased as (
  insert into ${table} as t (identity, owner, lease_until, fence)
  select ${identity}, ${owner}, ${until}, 1
  where ${inTime} and not exists (
    select from ${table} where identity = ${identity} and record is not null and generation > ${seen}::bigint
  )
  on conflict (identity) do update
  set owner = excluded.owner, lease_until = ${until}, fence = t.fence + 1, orphaned = t.spent or t.owner is not null
  where ${inTime} and (t.record is null or t.generation <= ${seen}::bigint)
    and (t.owner is null or t.lease_until <= clock_timestamp())
  returning *
)
select 'Lease' as tag, ${now} as now, record, generation::float8, fence::float8, orphaned, 0::float8 as retry_after
from leased
union all
select
  case
    when record is not null and generation > ${seen}::bigint then 'Newer'
    when ${inTime} then 'Busy'
    else 'Late'
  end, ${now}, record, generation::float8, fence::float8, orphaned,
  greatest(extract(epoch from lease_until - clock_timestamp()) * 1000, 10)::float8
from (select) as always left join ${table} on identity = ${identity}
where not exists (select from leased)`
        return Effect.flatMap(alone(statement), ([answer]) =>
          answer === undefined ? Effect.die("one row") : Effect.succeed(toTaken(answer))
        )
      },
      commit: (identity, { fence, generation, owner, record }) =>
        Effect.map(
          alone(sql`
with done as (
  update ${table}
  set record = ${record}, generation = ${generation}::bigint, spent = false, owner = null, lease_until = null
  where identity = ${identity} and owner = ${owner} and fence = ${fence}::bigint
  returning identity
) ${announced}`),
          (rows) => rows.length > 0
        ),
      release: (identity, { fence, owner, spent }) =>
        alone(sql`
with done as (
  update ${table}
  set spent = ${spent}, owner = null, lease_until = null
  where identity = ${identity} and owner = ${owner} and fence = ${fence}::bigint
  returning identity
) ${announced}`),
      clear: (identity) =>
        alone(sql`
with done as (
  update ${table}
  set record = null, spent = false, owner = null, lease_until = null, fence = fence + 1
  where identity = ${identity}
  returning identity
) ${announced}`),
      changed:
        options.notifications === undefined
          ? () => Effect.never
          : yield* StoreBackend.makeListener(options.notifications)
    },
    yield* options.encryption
  )
})

const toTaken = ({ fence, generation, now, orphaned, record, retry_after, tag }: Answer): StoreBackend.Taken => {
  switch (tag) {
    case "Lease":
      return { _tag: tag, now, record: record ?? undefined, generation, fence, orphaned }
    case "Newer":
      return { _tag: tag, now, record: record ?? "", generation }
    case "Busy":
      return { _tag: tag, now, retryAfter: retry_after }
    case "Late":
      return { _tag: tag, now }
  }
}

/**
 * Provides a store in PostgreSQL. A database that is down is a store that is down, also at the start: each process then
 * logs in for itself.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E = never>(options: Options<E>): Layer.Layer<TokenStore.TokenStore, E, SqlClient.SqlClient> =>
  TokenStore.layer(make(options), { lease: options.lease })
