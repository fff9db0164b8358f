/**
 * A token store in PostgreSQL, on Effect's `SqlClient`, for a program that already has a database.
 *
 * Everything about an identity is one row. Each operation is one statement, on the database's clock. No transaction and no
 * connection is held during an exchange, and a process that waits for another one only reads. {@link migration} creates the
 * table; the store itself never does.
 *
 * A role with few rights needs `usage` on the schema and `select, insert, update` on the table.
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
import * as StoreRow from "../token/shared/storeRow.ts"
import type { ConfigurationInvalid } from "../token/TokenError.ts"
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
   * The table, with its schema if need be, as in `auth.credentials`.
   * @default "effect_video_auth_credentials"
   */
  readonly table?: string | undefined
  /**
   * How long the other processes wait for a holder that shows no sign of life.
   * @default "6 seconds"
   */
  readonly lease?: Duration.Input | undefined
  /**
   * How often a holder shows that it is alive. At most half of the lease.
   * @default a third of the lease
   */
  readonly beat?: Duration.Input | undefined
  /** Changes are announced on this channel of PostgreSQL (`NOTIFY`), for the `notifications` of other processes. */
  readonly channel?: string | undefined
  /**
   * The identities whose credentials change, which wake a process that waits for another one's renewal. The stream runs when
   * there is first something to wait for. Without it, a waiting process reads about once a second. Listening holds a
   * connection, and doesn't work behind PgBouncer in transaction mode.
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

const defaultTable = "effect_video_auth_credentials"

const quoted = (table: string): string =>
  table
    .split(".")
    .map((name) => `"${name.replaceAll('"', '""')}"`)
    .join(".")

/**
 * The statement that creates the table, for programs that keep their migrations as SQL.
 *
 * **Example** (For a file of migrations)
 *
 * ```ts
 * import { TokenStoreSql } from "effect-video-auth"
 *
 * TokenStoreSql.createTable("auth.credentials").split("\n")[0] // => 'create table if not exists "auth"."credentials" ('
 * ```
 *
 * @category migrations
 * @since 0.1.0
 */
export const createTable = (table: string = defaultTable): string => `create table if not exists ${quoted(table)} (
  identity text primary key,
  revision bigint not null default 0,
  epoch bigint not null default 0,
  version bigint not null default 0,
  login_version bigint not null default 0,
  record text,
  committed_by text,
  sent_by text,
  sent_at timestamptz,
  lease_by text,
  lease_beat bigint,
  lease_at timestamptz,
  lease_for text
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

/** A row as the database returns it. Numbers stay exact up to 2^53, which counters never reach. */
interface Answer {
  readonly now: number
  readonly revision: number | null
  readonly epoch: number
  readonly version: number
  readonly login_version: number
  readonly record: string | null
  readonly committed_by: string | null
  readonly sent_by: string | null
  readonly sent_at: number
  readonly lease_by: string | null
  readonly lease_beat: number
  readonly lease_at: number
  readonly lease_for: string | null
}

const toSnapshot = (answer: Answer): TokenStore.Snapshot<string> =>
  answer.revision === null
    ? { ...StoreRow.emptyRow, now: answer.now }
    : {
        now: answer.now,
        revision: answer.revision,
        epoch: answer.epoch,
        version: answer.version,
        loginVersion: answer.login_version,
        record: answer.record ?? undefined,
        committedBy: answer.committed_by ?? undefined,
        sent: answer.sent_by === null ? undefined : { attempt: answer.sent_by, at: answer.sent_at },
        lease:
          answer.lease_by === null
            ? undefined
            : {
                attempt: answer.lease_by,
                beat: answer.lease_beat,
                at: answer.lease_at,
                sending: answer.lease_for === "login" || answer.lease_for === "refresh" ? answer.lease_for : undefined
              }
      }

/**
 * The backend of {@link layer}. It needs a scope: notifications are received in it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = /* @__PURE__ */ Effect.fnUntraced(function* <E>(
  options: Options<E>
): Effect.fn.Return<TokenStore.Backend, E, SqlClient.SqlClient | Scope.Scope> {
  const sql = yield* SqlClient.SqlClient
  const table = sql(options.table ?? defaultTable)
  const millis = (instant: string) => sql.literal(`(extract(epoch from ${instant}) * 1000)::float8`)
  const free = sql.literal("lease_by = null, lease_beat = null, lease_at = null, lease_for = null")
  /** Returns a row for each row changed, and announces it if anybody listens. */
  const announced =
    options.channel === undefined
      ? sql`select 1 from done`
      : sql`select pg_notify(${options.channel}, identity) from done`

  // The caller may be in a transaction of the program, which may take long and be rolled back.
  const alone = <A>(statement: Effect.Effect<ReadonlyArray<A>, SqlError>): Effect.Effect<ReadonlyArray<A>, SqlError> =>
    Effect.updateContext(
      // At a stricter isolation level than the default, the database refuses all but one of several simultaneous writes.
      Effect.retry(statement, {
        while: ({ reason }) => reason._tag === "SerializationError" || reason._tag === "DeadlockError"
      }),
      Context.omit(sql.transactionService)
    )
  const isGranted = (statement: Effect.Effect<ReadonlyArray<unknown>, SqlError>) =>
    Effect.map(alone(statement), (rows) => rows.length > 0)

  return yield* StoreBackend.make(
    {
      read: (identity) =>
        Effect.flatMap(
          alone(sql<Answer>`
select ${millis("clock_timestamp()")} as now, revision::float8, epoch::float8, version::float8,
  login_version::float8, record, committed_by, sent_by, ${millis("sent_at")} as sent_at,
  lease_by, lease_beat::float8, ${millis("lease_at")} as lease_at, lease_for
from (select) as always left join ${table} on identity = ${identity}`),
          ([answer]) => (answer === undefined ? Effect.die("one row") : Effect.succeed(toSnapshot(answer)))
        ),
      // The second part of each is for an attempt whose first reply was lost. It sees the table as it was before the first.
      claim: (identity, { attempt, revision }) =>
        isGranted(
          revision === 0
            ? sql`
with done as (
  insert into ${table} (identity, revision, lease_by, lease_beat, lease_at)
  values (${identity}, 1, ${attempt}, 0, clock_timestamp())
  on conflict (identity) do nothing
  returning identity
)
select 1 from done union all select 1 from ${table} where identity = ${identity} and lease_by = ${attempt}`
            : sql`
with done as (
  update ${table}
  set revision = revision + 1, lease_by = ${attempt}, lease_beat = 0, lease_at = clock_timestamp(), lease_for = null
  where identity = ${identity} and revision = ${revision}::bigint and lease_by is distinct from ${attempt}
  returning identity
)
select 1 from done union all select 1 from ${table} where identity = ${identity} and lease_by = ${attempt}`
        ),
      sending: (identity, { attempt, kind, marks, version }) =>
        isGranted(
          marks
            ? sql`
update ${table}
set revision = revision + 1, lease_for = ${kind}, sent_by = ${attempt}, sent_at = coalesce(sent_at, clock_timestamp())
where identity = ${identity} and lease_by = ${attempt} and version = ${version}::bigint
  and (sent_by is null or sent_by = ${attempt})
returning 1`
            : sql`
update ${table}
set revision = revision + 1, lease_for = ${kind}
where identity = ${identity} and lease_by = ${attempt} and version = ${version}::bigint
returning 1`
        ),
      beat: (identity, attempt) =>
        isGranted(sql`
update ${table}
set revision = revision + 1, lease_beat = lease_beat + 1, lease_at = clock_timestamp()
where identity = ${identity} and lease_by = ${attempt}
returning 1`),
      commit: (identity, { attempt, loginVersion, next, record, version }) =>
        isGranted(sql`
with done as (
  insert into ${table} as t (identity, revision, version, login_version, record, committed_by)
  select ${identity}, 1, ${next}::bigint, ${loginVersion}::bigint, ${record}, ${attempt}
  where ${version}::bigint = 0 or exists (select from ${table} where identity = ${identity})
  on conflict (identity) do update
  set revision = t.revision + 1, version = excluded.version, login_version = excluded.login_version,
    record = excluded.record, committed_by = excluded.committed_by, sent_by = null, sent_at = null, ${free}
  where t.version = ${version}::bigint
  returning identity
), announced as (${announced})
select 1 from announced
union all
select 1 from ${table}
where identity = ${identity} and committed_by = ${attempt} and version = ${next}::bigint`),
      release: (identity, { attempt, unused }) =>
        Effect.asVoid(
          alone(sql`
with done as (
  update ${table}
  set revision = revision + 1,
    sent_by = case when ${unused} and sent_by = ${attempt} then null else sent_by end,
    sent_at = case when sent_by is distinct from ${attempt} then sent_at when not ${unused} then to_timestamp(0) end,
    lease_beat = case when lease_by = ${attempt} then null else lease_beat end,
    lease_at = case when lease_by = ${attempt} then null else lease_at end,
    lease_for = case when lease_by = ${attempt} then null else lease_for end,
    lease_by = case when lease_by = ${attempt} then null else lease_by end
  where identity = ${identity}
    and (lease_by = ${attempt} or (sent_by = ${attempt} and (${unused} or sent_at <> to_timestamp(0))))
  returning identity
) ${announced}`)
        ),
      clear: (identity, epoch) =>
        Effect.asVoid(
          alone(sql`
with done as (
  update ${table}
  set revision = revision + 1, epoch = ${epoch}::bigint + 1, version = version + 1, login_version = 0,
    record = null, committed_by = null, sent_by = null, sent_at = null, ${free}
  where identity = ${identity} and epoch <= ${epoch}::bigint
  returning identity
) ${announced}`)
        ),
      changed: options.notifications && (yield* StoreBackend.makeListener(options.notifications))
    },
    yield* options.encryption
  )
})

/**
 * Provides a store in PostgreSQL. While the database is down, also at startup, each process makes exchanges of its own.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E = never>(
  options: Options<E>
): Layer.Layer<TokenStore.TokenStore, E | ConfigurationInvalid, SqlClient.SqlClient> =>
  TokenStore.layer(make(options), options)
