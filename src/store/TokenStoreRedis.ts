/**
 * A token store in Redis or Valkey, on Effect's `Redis` service: one server, or replicas behind a sentinel.
 *
 * Everything about an identity is one hash, which each operation reads and changes in one script, by the server's clock.
 * Nothing of it expires: use a server that evicts none of it (`maxmemory-policy noeviction` or a `volatile-` one).
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
   * What every key begins with; the identity follows.
   * @default "effect-video-auth:"
   */
  readonly prefix?: string | undefined
  /**
   * How long a lease is held at most, and so how long the others wait for a holder that was killed. A holder that takes
   * longer loses it, so it should outlive the platform's slowest answer.
   * @default what outlives the worst attempt: twice the policy's `exchangeTimeout` and 5 seconds
   */
  readonly lease?: Duration.Input | undefined
  /**
   * Wait for another's renewal by a subscription, a second connection, which is opened when there is first something to
   * wait for and is told of every renewal of this prefix. Without it a process that waits asks four times a second.
   * @default false
   */
  readonly subscribe?: boolean | undefined
}

/** The time, and what is known of an identity: absent fields are `false`. */
const prelude = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local names = {'record', 'generation', 'spent', 'fence', 'owner', 'until'}
local is = {}
for index, value in ipairs(redis.call('HMGET', KEYS[1], unpack(names))) do is[names[index]] = value end
local generation = tonumber(is['generation'] or 0)
local held = is['owner'] == ARGV[1] and is['fence'] == ARGV[2]
local function done(...)
  redis.call('HSET', KEYS[1], ...)
  redis.call('HDEL', KEYS[1], 'owner', 'until')
  -- A hint: who may not publish has stored nonetheless.
  redis.pcall('PUBLISH', ARGV[3], KEYS[1])
  return 1
end
`

type Answer =
  | readonly ["Newer", now: number, generation: number, record: string]
  | readonly ["Busy", now: number, retryAfter: number]
  | readonly ["Late", now: number]
  | readonly ["Lease", now: number, generation: number, record: string | null, fence: number, orphaned: 0 | 1]

const acquire = Redis.script(
  (key: string, options: Parameters<StoreBackend.Statements["acquire"]>[1]) => [
    key,
    options.owner,
    options.seen,
    Math.ceil(options.ttl),
    options.notAfter ?? ""
  ],
  {
    numberOfKeys: 1,
    lua: `${prelude}
local seen, ttl, notAfter = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if notAfter and now > notAfter then return {'Late', now} end
if is['record'] and generation > seen then return {'Newer', now, generation, is['record']} end
local free = tonumber(is['until'] or 0)
if is['owner'] and now < free then return {'Busy', now, free - now} end
local fence = redis.call('HINCRBY', KEYS[1], 'fence', 1)
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'until', now + ttl)
local orphaned = (is['spent'] == '1' or is['owner']) and 1 or 0
return {'Lease', now, generation, is['record'], fence, orphaned}`
  }
).withReturnType<Answer>()

const commit = Redis.script(
  (key: string, channel: string, options: Parameters<StoreBackend.Statements["commit"]>[1]) => [
    key,
    options.owner,
    options.fence,
    channel,
    options.generation,
    options.record
  ],
  {
    numberOfKeys: 1,
    lua: `${prelude}
return held and done('generation', ARGV[4], 'record', ARGV[5], 'spent', 0) or 0`
  }
).withReturnType<number>()

const release = Redis.script(
  (key: string, channel: string, options: Parameters<StoreBackend.Statements["release"]>[1]) => [
    key,
    options.owner,
    options.fence,
    channel,
    options.spent ? 1 : 0
  ],
  {
    numberOfKeys: 1,
    lua: `${prelude}
return held and done('spent', ARGV[4]) or 0`
  }
).withReturnType<number>()

const clear = Redis.script((key: string, channel: string) => [key, "", "", channel], {
  numberOfKeys: 1,
  lua: `${prelude}
if not is['fence'] then return 0 end
redis.call('HDEL', KEYS[1], 'record')
redis.call('HINCRBY', KEYS[1], 'fence', 1)
return done('spent', 0)`
}).withReturnType<number>()

/**
 * The backend of {@link layer}. It needs a scope: a subscription lives in it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = /* @__PURE__ */ Effect.fnUntraced(function* <E>(
  options: Options<E>
): Effect.fn.Return<TokenStore.Backend, E, Redis.Redis | Scope.Scope> {
  const redis = yield* Redis.Redis
  const prefix = options.prefix ?? "effect-video-auth:"
  const channel = `${prefix}changed`
  const keyOf = (identity: string) => `${prefix}${identity}`
  const run = {
    acquire: redis.eval(acquire),
    commit: redis.eval(commit),
    release: redis.eval(release),
    clear: redis.eval(clear)
  }
  const messages = Stream.unwrap(Effect.map(redis.subscribe(channel), Stream.fromQueue))
  const changed =
    options.subscribe === true
      ? yield* StoreBackend.makeListener(Stream.map(messages, ({ message }) => message))
      : () => Effect.never

  return yield* StoreBackend.make(
    {
      acquire: (identity, asked) =>
        Effect.map(run.acquire(keyOf(identity), asked), (answer): StoreBackend.Taken => {
          const [_tag, now] = answer
          if (_tag === "Late") return { _tag, now }
          if (_tag === "Busy") return { _tag, now, retryAfter: answer[2] }
          if (_tag === "Newer") return { _tag, now, generation: answer[2], record: answer[3] }
          const [, , generation, record, fence, orphaned] = answer
          return { _tag, now, generation, record: record ?? undefined, fence, orphaned: orphaned === 1 }
        }),
      commit: (identity, committed) =>
        Effect.map(run.commit(keyOf(identity), channel, committed), (stored) => stored === 1),
      release: (identity, released) => run.release(keyOf(identity), channel, released),
      clear: (identity) => run.clear(keyOf(identity), channel),
      changed: (identity) => changed(keyOf(identity))
    },
    yield* options.encryption
  )
})

/**
 * Provides a store in Redis. A server that is down is a store that is down: each process then logs in for itself. To
 * start while it is down, provide the `Redis` by {@link layerLazy}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E = never>(options: Options<E>): Layer.Layer<TokenStore.TokenStore, E, Redis.Redis> =>
  TokenStore.layer(make(options), { lease: options.lease })

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
      const connect = Effect.gen(function* () {
        const own = yield* Scope.make()
        const building = yield* Effect.forkDetach(Layer.buildWithScope(redis, own))
        // A client closes when its commands are answered, which those of a server that hangs never are: nobody waits for it.
        const close = Effect.forkDetach(Effect.andThen(Fiber.interrupt(building), Scope.close(own, Exit.void)))
        const services = yield* Fiber.join(building).pipe(
          Effect.timeout(connectTimeout),
          Effect.onError(() => close)
        )
        yield* Scope.addFinalizer(scope, Effect.timeoutOption(Effect.flatMap(close, Fiber.await), closeTimeout))
        return Context.get(services, Redis.Redis)
      }).pipe(Effect.catchCause((cause) => Effect.fail(new Redis.RedisError({ cause: Cause.squash(cause) }))))
      let connecting: Deferred.Deferred<Redis.Redis["Service"], Redis.RedisError> | undefined
      const connected = Effect.suspend(() => {
        if (connecting !== undefined) return Deferred.await(connecting)
        const made = Deferred.makeUnsafe<Redis.Redis["Service"], Redis.RedisError>()
        connecting = made
        // Whoever asked first may be gone before it is done; those who come later join. A failure is not kept.
        return connect.pipe(
          Effect.onExit((exit) => {
            if (Exit.isFailure(exit)) connecting = undefined
            return Deferred.done(made, exit)
          }),
          Effect.provideContext(context),
          Effect.forkIn(scope),
          Effect.andThen(Deferred.await(made))
        )
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
