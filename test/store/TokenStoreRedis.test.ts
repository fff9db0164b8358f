import * as NodeRedis from "@effect/platform-node/NodeRedis"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Logger, Queue, Redacted, Scope } from "effect"
import { Redis } from "effect/persistence"
import { TestClock } from "effect/testing"
import { TokenStoreRedis } from "effect-video-auth"
import * as FakeProvider from "effect-video-auth/testing/FakeProvider"
import { randomUUID } from "node:crypto"
import { readFileSync } from "node:fs"
import { durableStoreContract, keyed, type Place } from "../support/durableStoreContract.ts"
import { outageContract, startProcess } from "../support/outageContract.ts"
import { redis } from "../support/servers.ts"
import { lease, put, token, tokenStoreContract } from "../support/tokenStoreContract.ts"

/** A client warns of each connection that it lost. */
const quietly = <A, E, R>(layer: Layer.Layer<A, E, R>) => Layer.provide(layer, Logger.layer([]))

type Sender = <A>(command: string, ...args: ReadonlyArray<string>) => Effect.Effect<A>

/** Prefixes of a test's own, on a server that others use as well; nothing is left there. */
const client = Effect.fnUntraced(function* (url: string) {
  const services = yield* Layer.build(NodeRedis.layer({ url }))
  const prefix = `effect-video-auth-test:${randomUUID()}:`
  const connected = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provideContext(effect, services)
  const send = <A>(command: string, ...args: ReadonlyArray<string>) =>
    connected(Effect.orDie(Redis.Redis.use((redis) => redis.send<A>(command, ...args))))
  const keys = send<ReadonlyArray<string>>("KEYS", `${prefix}*`)
  yield* Effect.addFinalizer(() =>
    Effect.flatMap(keys, (keys) => (keys.length > 0 ? send("DEL", ...keys) : Effect.void))
  )
  const open = (options: Partial<TokenStoreRedis.Options> = {}) =>
    connected(Effect.orDie(TokenStoreRedis.make({ encryption: keyed(1), prefix, ...options })))
  return { prefix, send, keys, open }
}, Effect.orDie)

await redis.describe("on Redis", (url) => {
  tokenStoreContract(
    "redis",
    Effect.flatMap(client(url), ({ open }) => open()),
    { isLive: true }
  )

  const makePlace = Effect.map(client(url), ({ keys, open, prefix, send }): Place<never> => ({
    open: (encryption) => open({ encryption }),
    bytes: Effect.flatMap(keys, (keys) =>
      Effect.map(
        Effect.forEach(keys, (key) => send<unknown>("HGETALL", key)),
        (hashes) => JSON.stringify([keys, hashes])
      )
    ),
    record: (identity) => send("HGET", `${prefix}v2:${identity}`, "record"),
    overwrite: (identity, record) => send("HSET", `${prefix}v2:${identity}`, "record", record)
  }))
  durableStoreContract("redis", makePlace)

  describe("redis: changed", () => {
    for (const event of ["commit", "release", "clear"] as const) {
      it.live(`a ${event} wakes all waiters of its identity by a subscription, and no others`, () =>
        Effect.gen(function* () {
          const { open, prefix, send } = yield* client(url)
          const backend = yield* open()
          yield* lease(backend, "a")
          const other = yield* open({ subscribe: true })
          const waiters = yield* Effect.forEach(["one", "one", "two"], (identity) =>
            Effect.forkChild(other.changed?.(identity) ?? Effect.void)
          )
          // A hint may get lost that comes before the subscription is there.
          const subscribers = send<ReadonlyArray<number>>("PUBSUB", "NUMSUB", `${prefix}changed`)
          yield* Effect.repeat(Effect.delay(subscribers, 10), { until: ([, count]) => count === 1 })
          if (event === "commit") yield* put(backend, token(1))
          if (event === "release") yield* backend.release("one", { attempt: "a", unused: true })
          if (event === "clear") yield* backend.clear("one", 0)
          yield* Effect.forEach(waiters.slice(0, 2), Fiber.join)
          assert.isUndefined(waiters[2]?.pollUnsafe())
        })
      )
    }
  })

  /** A user with the given rules, on a server that others use as well. */
  const userOf = Effect.fnUntraced(function* (prefix: string, send: Sender, ...rules: ReadonlyArray<string>) {
    const name = `effect-video-auth-test-${randomUUID()}`
    yield* Effect.acquireRelease(
      send(
        "ACL",
        "SETUSER",
        name,
        "on",
        ">secret",
        "resetkeys",
        `~${prefix}*`,
        "resetchannels",
        `&${prefix}*`,
        "-@all",
        ...rules
      ),
      () => send("ACL", "DELUSER", name)
    )
    const own = new URL(url)
    own.username = name
    own.password = "secret"
    const services = yield* Layer.build(NodeRedis.layer({ url: own.href }))
    const backendWith = (options: Partial<TokenStoreRedis.Options>) =>
      Effect.provideContext(Effect.orDie(TokenStoreRedis.make({ encryption: keyed(1), prefix, ...options })), services)
    return { backend: yield* backendWith({}), backendWith }
  })

  /** The commands that the module's documentation allows to a user with few rights. */
  const documented = () => {
    const [, rules = ""] = /ACL SETUSER ([^]*?)```/.exec(readFileSync("src/store/TokenStoreRedis.ts", "utf8")) ?? []
    return rules.match(/\+[\w|]+/g) ?? []
  }

  it.live("redis: a user with the documented rights can do everything", () =>
    Effect.gen(function* () {
      const { prefix, send } = yield* client(url)
      const rights = documented()
      assert.includeMembers(rights, ["+evalsha", "+script|load"])
      const { backend, backendWith } = yield* userOf(prefix, send, ...rights)
      yield* put(backend, token(1))
      yield* lease(backend, "a")
      assert.isTrue(yield* backend.sending("one", { attempt: "a", version: 1, kind: "refresh", marks: true }))
      assert.isTrue(yield* backend.beat("one", "a"))
      yield* backend.release("one", { attempt: "a", unused: true })
      // `WAIT` is allowed: it is the replicas that are missing.
      const waiting = yield* backendWith({ replicas: 99 })
      yield* lease(waiting, "b")
      const mark = { attempt: "b", version: 1, kind: "refresh", marks: true } as const
      assert.include(yield* Effect.flip(waiting.sending("one", mark)), { problem: "TooFewReplicas" })
      const subscribed = yield* backendWith({ subscribe: true })
      const waiter = yield* Effect.forkChild(subscribed.changed?.("one") ?? Effect.die("it does not subscribe"))
      const subscribers = send<ReadonlyArray<number>>("PUBSUB", "NUMSUB", `${prefix}changed`)
      yield* Effect.repeat(Effect.delay(subscribers, 10), { until: ([, count]) => count === 1 })
      yield* backend.clear("one", 0)
      yield* Fiber.join(waiter)
    })
  )

  it.live("redis: nobody subscribes unless that was asked for", () =>
    Effect.gen(function* () {
      const { open } = yield* client(url)
      assert.isUndefined((yield* open()).changed)
      assert.isDefined((yield* open({ subscribe: true })).changed)
    })
  )

  for (const [missing, operation, rights] of [
    ["to run scripts", "read", ["+client", "+hello", "+ping"]],
    ["to write", "claim", ["+client", "+hello", "+ping", "+evalsha", "+script|load", "+time", "+hmget"]]
  ] as const) {
    it.live(`redis: a user without the right ${missing} is reported as ${operation}: NOPERM`, () =>
      Effect.gen(function* () {
        const { prefix, send } = yield* client(url)
        const { backend } = yield* userOf(prefix, send, ...rights)
        const warnings: Array<string> = []
        const logger = Logger.make(({ message }) => void warnings.push(String(message)))
        const service = yield* Effect.provide(
          startProcess({ open: Effect.succeed(backend) }, FakeProvider.make()),
          Logger.layer([logger])
        )
        yield* Effect.provide(service.get, Logger.layer([logger]))
        assert.match(warnings.join("\n"), new RegExp(`^the token store failed \\(${operation}: NOPERM\\)`))
        assert.lengthOf(warnings, 1)
      })
    )
  }

  it.live("redis: a refresh token is not sent if too few replicas have its mark", () =>
    Effect.gen(function* () {
      const { open } = yield* client(url)
      const backend = yield* open({ replicas: 99 })
      yield* put(backend, token(1))
      yield* lease(backend, "a")
      const mark = { attempt: "a", version: 1, kind: "refresh", marks: true } as const
      const reason = yield* Effect.flip(backend.sending("one", mark))
      assert.deepInclude(reason, { _tag: "StoreUnavailable", operation: "sending", problem: "TooFewReplicas" })
      assert.isTrue(yield* backend.sending("one", { ...mark, kind: "login", marks: false }))
    })
  )

  for (const replicas of [-1, 0.5, Number.NaN]) {
    it.effect(`redis: ${replicas} replicas are refused`, () =>
      Effect.gen(function* () {
        const redis = yield* Redis.make({
          send: () => Effect.die("not used"),
          subscribe: () => Effect.never,
          connect: Effect.never
        })
        const refused = yield* TokenStoreRedis.make({ encryption: keyed(1), replicas }).pipe(
          Effect.provideService(Redis.Redis, redis),
          Effect.flip
        )
        assert.deepInclude(refused, { _tag: "ConfigurationInvalid", option: "replicas" })
      })
    )
  }

  it.live("redis: scripts are loaded again after the server has forgotten them", () =>
    Effect.gen(function* () {
      const { open, send } = yield* client(url)
      const backend = yield* open()
      yield* put(backend, token(1))
      yield* send("SCRIPT", "FLUSH")
      yield* put(backend, token(2))
    })
  )
})

redis.describeOwn("on a Redis with a replica", (own) => {
  it.live("redis: a refresh token is sent once the replica has its mark", () =>
    Effect.gen(function* () {
      const [primary, replica] = [yield* own, yield* own]
      const { port } = new URL(primary.url)
      const ofReplica = yield* client(replica.url)
      yield* ofReplica.send("REPLICAOF", "127.0.0.1", port)
      yield* Effect.repeat(Effect.delay(ofReplica.send<string>("INFO", "replication"), 20), {
        until: (info) => info.includes("master_link_status:up")
      })
      const { open, prefix } = yield* client(primary.url)
      const backend = yield* open({ replicas: 1 })
      yield* put(backend, token(1))
      yield* lease(backend, "a")
      assert.isTrue(yield* backend.sending("one", { attempt: "a", version: 1, kind: "refresh", marks: true }))
      // The one that takes over after a failover knows that the token may have been sent.
      assert.strictEqual(yield* ofReplica.send("HGET", `${prefix}v2:one`, "sentBy"), "a")
      yield* ofReplica.send("REPLICAOF", "NO", "ONE")
    })
  )
})

redis.describeOwn("on a Redis that is stopped", (own) => {
  const connectingTo = (url: string) =>
    Effect.map(Layer.build(TokenStoreRedis.layerLazy(quietly(NodeRedis.layer({ url })))), (services) =>
      Effect.provideContext(TokenStoreRedis.make({ encryption: keyed(1) }), services)
    )

  outageContract(
    "redis",
    Effect.map(own, ({ start, stop, url }) => ({ start, stop, open: Effect.flatten(connectingTo(url)) }))
  )

  it.live("redis: a scope closes while the server is down and a command waits for it", () =>
    Effect.gen(function* () {
      const { stop, url } = yield* own
      const scope = yield* Scope.make()
      const services = yield* Layer.buildWithScope(TokenStoreRedis.layerLazy(quietly(NodeRedis.layer({ url }))), scope)
      const ping = Context.get(services, Redis.Redis).send("PING")
      yield* ping
      yield* stop
      yield* Effect.forkDetach(Effect.exit(ping), { startImmediately: true })
      yield* Scope.close(scope, Exit.void)
    })
  )

  it.live("redis: a call of a server that does not respond fails after 4 s", () =>
    Effect.gen(function* () {
      const { signal, url } = yield* own
      const open = Effect.flatten(connectingTo(url))
      const backend = yield* open
      yield* put(backend, token(1))
      yield* signal("SIGSTOP")
      const reason = yield* Effect.flip(Effect.timeout(backend.read("one"), "10 seconds"))
      assert.deepInclude(reason, { _tag: "StoreUnavailable", operation: "read", problem: "timeout" })
      yield* signal("SIGCONT")
      yield* lease(yield* open, "b")
    })
  )

  it.live("redis: a cold caller gets a token by a private login if the server does not respond", () =>
    Effect.gen(function* () {
      const { signal, url } = yield* own
      const service = yield* startProcess({ open: Effect.flatten(connectingTo(url)) }, FakeProvider.make())
      yield* signal("SIGSTOP")
      assert.strictEqual(Redacted.value((yield* Effect.timeout(service.get, "12 seconds")).accessToken), "access-1")
      assert.include(yield* service.state, { degraded: true })
    })
  )
})

describe("layerLazy", () => {
  const nowhere = TokenStoreRedis.layerLazy(quietly(NodeRedis.layer({ url: "redis://127.0.0.1:1" })))

  it.live("fails each use with a RedisError while there is no server", () =>
    Effect.gen(function* () {
      const redis = yield* Redis.Redis
      const failures = [
        redis.send("PING"),
        redis.eval(Redis.script(() => [], { lua: "return 1", numberOfKeys: 0 }))(),
        Effect.scoped(redis.reserve),
        Effect.scoped(Effect.flatMap(redis.subscribe("channel"), Queue.take))
      ]
      for (const failure of failures) assert.strictEqual((yield* Effect.flip(failure))._tag, "RedisError")
    }).pipe(Effect.provide(nowhere))
  )

  it.effect("connects once for all who use it, though the first of them is gone before it is done", () =>
    Effect.gen(function* () {
      let connections = 0
      const slow = Layer.effect(
        Redis.Redis,
        Effect.gen(function* () {
          connections += 1
          yield* Effect.sleep("1 second")
          return yield* Redis.make({
            send: () => Effect.fail(new Redis.RedisError({ cause: "connected" })),
            subscribe: () => Effect.never,
            connect: Effect.never
          })
        })
      )
      yield* Effect.gen(function* () {
        const redis = yield* Redis.Redis
        const first = yield* Effect.forkChild(redis.send("PING"))
        yield* TestClock.adjust("500 millis")
        const others = yield* Effect.forkChild(
          Effect.all([Effect.flip(redis.send("PING")), Effect.flip(redis.send("PING"))], { concurrency: 2 })
        )
        yield* Fiber.interrupt(first)
        yield* TestClock.adjust("1 second")
        const answers = yield* Fiber.join(others)
        assert.deepStrictEqual(
          answers.map(({ cause }) => cause),
          ["connected", "connected"]
        )
        assert.strictEqual(connections, 1)
      }).pipe(Effect.provide(TokenStoreRedis.layerLazy(slow)))
    })
  )
})
