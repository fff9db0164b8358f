/**
 * A token store in Redis or Valkey, on Effect's `Redis` service: one server, or replicas behind a sentinel.
 *
 * Everything about an identity is one hash. Each operation reads or changes it in one script, on the server's clock. Nothing
 * expires, so use a server that evicts none of it (`maxmemory-policy noeviction` or a `volatile-` policy).
 *
 * A user with few rights needs the keys and the commands of the scripts (Redis 7):
 *
 * ```text
 * ACL SETUSER tokens on >password resetkeys ~effect-video-auth:* resetchannels &effect-video-auth:* -@all
 *   +evalsha +script|load +time +hmget +hset +hdel +hincrby +publish +subscribe +unsubscribe +wait +hello +client +ping
 * ```
 *
 * **Example** (A credential that all servers share)
 *
 * ```ts
 * import { NodeHttpClient, NodeRedis } from "@effect/platform-node"
 * import { Config, Layer } from "effect"
 * import { ApiVideo, TokenEncryption, TokenStoreRedis } from "effect-video-auth"
 *
 * const RedisLive = TokenStoreRedis.layerLazy(NodeRedis.layerConfig({ url: Config.String("REDIS_URL") }))
 *
 * const StoreLive = TokenStoreRedis.layer({ encryption: TokenEncryption.config("TOKEN_STORE_KEYS") }).pipe(
 *   Layer.provide(RedisLive)
 * )
 *
 * export const ApiVideoLive = ApiVideo.layerConfig({ apiKey: Config.Redacted("APIVIDEO_API_KEY") }).pipe(
 *   Layer.provide([StoreLive, NodeHttpClient.layerUndici])
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redis from "effect/persistence/Redis"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as StoreBackend from "./internal/storeBackend.ts"
import type { TokenEncryption } from "./TokenEncryption.ts"
import { invalid } from "../token/shared/failures.ts"
import type { ConfigurationInvalid } from "../token/TokenError.ts"
import * as TokenStore from "../token/TokenStore.ts"

/**
 * Where in Redis the credentials are, and how they are kept.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options<E = never> {
  /** `TokenEncryption.config("TOKEN_STORE_KEYS")`, `TokenEncryption.make({ keys })` or `TokenEncryption.plainText`. */
  readonly encryption: Effect.Effect<TokenEncryption, E>
  /**
   * The beginning of every key. `v2:` and the identity follow.
   * @default "effect-video-auth:"
   */
  readonly prefix?: string | undefined
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
  /**
   * Waits for another process' renewal by a subscription, which is a second connection. It is opened when there is first
   * something to wait for, and receives a message for every renewal of this prefix. Without it, a waiting process reads about
   * once a second.
   * @default false
   */
  readonly subscribe?: boolean | undefined
  /**
   * Sends a refresh token only after so many replicas have the mark that says so (`WAIT`). With it, a failover to one of them
   * cannot make two processes send the same refresh token. If fewer replicas respond within a second, the store counts as
   * unavailable.
   * @default 0
   */
  readonly replicas?: number | undefined
}

/** Milliseconds for which a write waits for replicas. */
const replicaTimeout = 1_000

/** Reads the row. Absent fields are `false`, and numbers are text. */
const prelude = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local names = {'revision', 'epoch', 'version', 'loginVersion', 'record', 'committedBy', 'sentBy', 'sentAt',
  'leaseBy', 'leaseBeat', 'leaseAt', 'leaseFor'}
local is = {}
for index, value in ipairs(redis.call('HMGET', KEYS[1], unpack(names))) do is[names[index]] = value end
local attempt, channel = ARGV[1], ARGV[2]
local holds = is['leaseBy'] == attempt
local version = is['version'] or '0'
local function write(changes)
  redis.call('HINCRBY', KEYS[1], 'revision', 1)
  for name, value in pairs(changes) do
    if value == false then redis.call('HDEL', KEYS[1], name) else redis.call('HSET', KEYS[1], name, value) end
  end
  return 1
end
local free = {leaseBy = false, leaseBeat = false, leaseAt = false, leaseFor = false}
local function announce()
  -- Only a hint: the write counts even if the user has no right to publish.
  redis.pcall('PUBLISH', channel, KEYS[1])
  return 1
end
`

/** A script on the hash of an identity. Its first two arguments are the attempt and the channel. */
const scriptOn = <Args extends ReadonlyArray<string | number>>(lua: string) =>
  Redis.script((key: string, attempt: string, channel: string, ...args: Args) => [key, attempt, channel, ...args], {
    numberOfKeys: 1,
    lua: `${prelude}${lua}`
  })

type Text = string | null
type RowReply = readonly [
  now: number,
  revision: Text,
  epoch: Text,
  version: Text,
  loginVersion: Text,
  record: Text,
  committedBy: Text,
  sentBy: Text,
  sentAt: Text,
  leaseBy: Text,
  leaseBeat: Text,
  leaseAt: Text,
  leaseFor: Text
]

const read = scriptOn<[]>(`
local reply = {now}
for index, name in ipairs(names) do reply[index + 1] = is[name] end
return reply`).withReturnType<RowReply>()

const claim = scriptOn<[revision: number]>(`
if holds then return 1 end
if (is['revision'] or '0') ~= ARGV[3] then return 0 end
return write({leaseBy = attempt, leaseBeat = 0, leaseAt = now, leaseFor = false})`).withReturnType<number>()

const sending = scriptOn<[version: number, kind: TokenStore.ExchangeKind, marks: 0 | 1]>(`
if not holds or version ~= ARGV[3] then return 0 end
if ARGV[5] == '0' then return write({leaseFor = ARGV[4]}) end
if is['sentBy'] and is['sentBy'] ~= attempt then return 0 end
return write({leaseFor = ARGV[4], sentBy = attempt, sentAt = is['sentAt'] or now})`).withReturnType<number>()

const beat = scriptOn<[]>(`
if not holds then return 0 end
return write({leaseBeat = is['leaseBeat'] + 1, leaseAt = now})`).withReturnType<number>()

const commit = scriptOn<[version: number, next: number, loginVersion: number, record: string]>(`
if is['committedBy'] == attempt and version == ARGV[4] then return 1 end
if version ~= ARGV[3] then return 0 end
write(free)
redis.call('HDEL', KEYS[1], 'sentBy', 'sentAt')
redis.call('HSET', KEYS[1], 'version', ARGV[4], 'loginVersion', ARGV[5], 'record', ARGV[6], 'committedBy', attempt)
return announce()`).withReturnType<number>()

const release = scriptOn<[unused: 0 | 1]>(`
local marked = is['sentBy'] == attempt
local unmarks = marked and ARGV[3] == '1'
if not holds and not unmarks and (not marked or is['sentAt'] == '0') then return 0 end
write(holds and free or {})
if unmarks then redis.call('HDEL', KEYS[1], 'sentBy', 'sentAt')
elseif marked then redis.call('HSET', KEYS[1], 'sentAt', 0) end
return announce()`).withReturnType<number>()

const clear = scriptOn<[epoch: number]>(`
if not is['revision'] or tonumber(is['epoch'] or 0) > tonumber(ARGV[3]) then return 0 end
write(free)
redis.call('HDEL', KEYS[1], 'record', 'committedBy', 'sentBy', 'sentAt')
redis.call('HSET', KEYS[1], 'epoch', ARGV[3] + 1, 'version', version + 1, 'loginVersion', 0)
return announce()`).withReturnType<number>()

const toSnapshot = (reply: RowReply): TokenStore.Snapshot<string> => {
  const [
    now,
    revision,
    epoch,
    version,
    loginVersion,
    record,
    committedBy,
    sentBy,
    sentAt,
    leaseBy,
    beat,
    leaseAt,
    kind
  ] = reply
  return {
    now,
    revision: Number(revision),
    epoch: Number(epoch),
    version: Number(version),
    loginVersion: Number(loginVersion),
    record: record ?? undefined,
    committedBy: committedBy ?? undefined,
    sent: sentBy === null ? undefined : { attempt: sentBy, at: Number(sentAt) },
    lease:
      leaseBy === null
        ? undefined
        : {
            attempt: leaseBy,
            beat: Number(beat),
            at: Number(leaseAt),
            sending: kind === "login" || kind === "refresh" ? kind : undefined
          }
  }
}

/** Too few replicas acknowledged a write in time. */
class TooFewReplicas extends Data.TaggedError("TooFewReplicas") {}

/**
 * The backend of {@link layer}. It needs a scope: a subscription lives in it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = /* @__PURE__ */ Effect.fnUntraced(function* <E>(
  options: Options<E>
): Effect.fn.Return<TokenStore.Backend, E | ConfigurationInvalid, Redis.Redis | Scope.Scope> {
  const { replicas = 0 } = options
  if (!Number.isInteger(replicas) || replicas < 0) {
    return yield* invalid("replicas", "it must be a whole number that is not negative")
  }
  const redis = yield* Redis.Redis
  const prefix = options.prefix ?? "effect-video-auth:"
  const channel = `${prefix}changed`
  const keyOf = (identity: string) => `${prefix}v2:${identity}`
  const run = {
    read: redis.eval(read),
    claim: redis.eval(claim),
    beat: redis.eval(beat),
    commit: redis.eval(commit),
    release: redis.eval(release),
    clear: redis.eval(clear)
  }
  const isGranted = <E>(reply: Effect.Effect<number, E>) => Effect.map(reply, (reply) => reply === 1)
  /** `WAIT` is about the writes of its own connection. */
  const send: StoreBackend.Statements["sending"] = (identity, { attempt, kind, marks, version }) => {
    const args = [keyOf(identity), attempt, channel, version, kind, marks ? 1 : 0] as const
    if (replicas === 0 || !marks) return isGranted(redis.eval(sending)(...args))
    return Effect.scoped(
      Effect.gen(function* () {
        const connection = yield* redis.reserve
        const granted = yield* isGranted(connection.eval(sending)(...args))
        if (!granted) return false
        const acknowledged = yield* connection.send<number>("WAIT", String(replicas), String(replicaTimeout))
        return acknowledged >= replicas ? true : yield* new TooFewReplicas()
      })
    )
  }
  const messages = Stream.unwrap(Effect.map(redis.subscribe(channel), Stream.fromQueue))
  const listener =
    options.subscribe === true
      ? yield* StoreBackend.makeListener(Stream.map(messages, ({ message }) => message))
      : undefined

  return yield* StoreBackend.make(
    {
      read: (identity) => Effect.map(run.read(keyOf(identity), "", channel), toSnapshot),
      claim: (identity, { attempt, revision }) => isGranted(run.claim(keyOf(identity), attempt, channel, revision)),
      sending: send,
      beat: (identity, attempt) => isGranted(run.beat(keyOf(identity), attempt, channel)),
      commit: (identity, { attempt, loginVersion, next, record, version }) =>
        isGranted(run.commit(keyOf(identity), attempt, channel, version, next, loginVersion, record)),
      release: (identity, { attempt, unused }) =>
        Effect.asVoid(run.release(keyOf(identity), attempt, channel, unused ? 1 : 0)),
      clear: (identity, epoch) => Effect.asVoid(run.clear(keyOf(identity), "", channel, epoch)),
      changed: listener && ((identity) => listener(keyOf(identity)))
    },
    yield* options.encryption
  )
})

/**
 * Provides a store in Redis. While the server is down, each process makes exchanges of its own. To start while it is down,
 * provide the `Redis` by {@link layerLazy}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E = never>(
  options: Options<E>
): Layer.Layer<TokenStore.TokenStore, E | ConfigurationInvalid, Redis.Redis> => TokenStore.layer(make(options), options)

/** To connect takes this many milliseconds at most. Those who wait for an answer do not wait as long. */
const connectTimeout = 15_000

/** A scope waits this many milliseconds at most for a client to close. */
const closeTimeout = 2_000

/**
 * Provides a `Redis` that connects when it is first used. `NodeRedis.layer` connects while it is built, so a program does
 * not start where the server is down; with this it does, and every use fails with a `RedisError` until the server is there.
 *
 * It serves whatever stands on `Redis` in a program: the token store, `RateLimiter.layerStoreRedis`, and others.
 *
 * **Example** (Starting without the server)
 *
 * ```ts
 * import { NodeRedis } from "@effect/platform-node"
 * import { Effect } from "effect"
 * import { Redis } from "effect/persistence"
 * import { TokenStoreRedis } from "effect-video-auth"
 *
 * const RedisLive = TokenStoreRedis.layerLazy(NodeRedis.layer({ url: "redis://127.0.0.1:1" }))
 * const ping = Redis.Redis.use((redis) => redis.send("PING"))
 * const program = Effect.provide(Effect.flip(ping), RedisLive)
 * export const tag = Effect.map(program, (error) => error._tag) // "RedisError"
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerLazy = <E, R>(redis: Layer.Layer<Redis.Redis, E, R>): Layer.Layer<Redis.Redis, never, R> =>
  Layer.effect(
    Redis.Redis,
    Effect.map(Effect.context<R | Scope.Scope>(), (context) => {
      const scope = Context.get(context, Scope.Scope)
      const connect = Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          const own = yield* Scope.make()
          const building = yield* Effect.forkDetach(Layer.buildWithScope(redis, own))
          // A client closes once its commands have been answered. A server that hangs answers none, so nobody waits for it.
          const close = Effect.forkDetach(Effect.andThen(Fiber.interrupt(building), Scope.close(own, Exit.void)))
          const services = yield* restore(Effect.timeout(Fiber.join(building), connectTimeout)).pipe(
            Effect.onError(() => close)
          )
          yield* Scope.addFinalizer(scope, Effect.timeoutOption(Effect.flatMap(close, Fiber.await), closeTimeout))
          return Context.get(services, Redis.Redis)
        })
      ).pipe(Effect.catchCause((cause) => Effect.fail(new Redis.RedisError({ cause: Cause.squash(cause) }))))
      const fork = Effect.runForkWith(context)
      let connecting: Deferred.Deferred<Redis.Redis["Service"], Redis.RedisError> | undefined
      const connected = Effect.suspend(() => {
        if (connecting !== undefined) return Deferred.await(connecting)
        const made = Deferred.makeUnsafe<Redis.Redis["Service"], Redis.RedisError>()
        connecting = made
        // Forked in the same step, for all callers: the one who asked first may be interrupted at any step after this.
        const fiber = fork(
          Effect.onExit(Effect.interruptible(connect), (exit) => {
            // The next caller connects again after a failure.
            if (Exit.isFailure(exit)) connecting = undefined
            return Deferred.done(made, exit)
          }),
          { uninterruptible: true }
        )
        Fiber.runIn(fiber, scope)
        return Deferred.await(made)
      })
      return Redis.Redis.of({
        send: (command, ...args) => Effect.flatMap(connected, ({ send }) => send(command, ...args)),
        eval:
          (script) =>
          (...params) =>
            Effect.flatMap(connected, (redis) => redis.eval(script)(...params)),
        reserve: Effect.flatMap(connected, ({ reserve }) => reserve),
        subscribe: (channel) =>
          Effect.catch(
            Effect.flatMap(connected, ({ subscribe }) => subscribe(channel)),
            (error) => Effect.tap(Queue.unbounded<Redis.RedisMessage, Redis.RedisError>(), Queue.fail(error))
          )
      })
    })
  )
