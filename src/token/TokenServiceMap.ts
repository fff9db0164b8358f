/**
 * Many identities in one program: a customer's key each, or a VideoManager each.
 *
 * A `TokenService` for each identity would be heavy. Here an identity that nobody uses at the moment has no fibre and no
 * timer. One scheduler renews all of them. The least recently used identities make room for new ones, and those that are unused
 * for a while are evicted. Each has all guarantees of a `TokenService`.
 *
 * **Example** (A key for each customer)
 *
 * ```ts
 * import { Effect, Redacted } from "effect"
 * import { FetchHttpClient } from "effect/http"
 * import { ApiVideo, TokenServiceMap } from "effect-video-auth"
 *
 * const tokenFor = Effect.fn(function*(apiKey: Redacted.Redacted) {
 *   const map = yield* TokenServiceMap.TokenServiceMap
 *   const tokens = yield* map.get(yield* ApiVideo.provider({ apiKey }))
 *   return yield* tokens.get
 * })
 *
 * export const program = Effect.forEach([Redacted.make("key-of-ann"), Redacted.make("key-of-bob")], tokenFor).pipe(
 *   Effect.provide([TokenServiceMap.layer({ capacity: 10_000 }), FetchHttpClient.layer])
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Actor from "./internal/actor.ts"
import * as Agenda from "./internal/agenda.ts"
import * as Engine from "./internal/engine.ts"
import { toService } from "./internal/service.ts"
import { monotonic } from "./shared/time.ts"
import * as Identities from "./internal/identities.ts"
import type * as RenewalPolicy from "./RenewalPolicy.ts"
import * as TokenError from "./TokenError.ts"
import type { TokenProvider } from "./TokenProvider.ts"
import * as TokenService from "./TokenService.ts"
import { TokenStore } from "./TokenStore.ts"

/**
 * Hands out a service for each provider: the same for the same identity, whoever asks.
 *
 * | member | promise |
 * | --- | --- |
 * | `get` | the service of a provider's identity. It exchanges nothing by itself and outlives eviction: what it is asked for afterwards, it gets anew |
 * | `size` | how many identities are held at present |
 *
 * @category services
 * @since 0.1.0
 */
export class TokenServiceMap
  extends /* @__PURE__ */ Context.Service<
    TokenServiceMap,
    {
      readonly get: (
        provider: TokenProvider
      ) => Effect.Effect<TokenService.TokenService["Service"], TokenError.TokenError>
      readonly size: Effect.Effect<number>
    }
  >()("effect-video-auth/TokenServiceMap") {}

/**
 * How many, how long, and by which policy.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /**
   * Identities held at most. For one more the least recently used is forgotten, never one that somebody waits for; if
   * all are in use, the newcomer fails with `ConfigurationInvalid` of `capacity`, which says how many there are.
   * @default 10_000
   */
  readonly capacity?: number | undefined
  /**
   * An identity that nobody asked for during this time is forgotten, and renewed no more. With a `TokenStore` its
   * credential lives on there.
   * @default "1 hour"
   */
  readonly idleTimeToLive?: Duration.Input | undefined
  /** The policy of all of them; here `whenIdle` is `on-demand` unless set. */
  readonly policy?: RenewalPolicy.Options | undefined
}

const invalid = (provider: string, option: string, problem: string) =>
  new TokenError.TokenError({ provider, reason: new TokenError.ConfigurationInvalid({ option, problem }) })

interface Entry {
  readonly engine: Engine.Engine
  /** Those who wait for something. */
  users: number
  /** Monotonic. */
  usedAt: number
}

/**
 * Makes a map that lives until the scope closes. It reads a `TokenStore` from the context if there is one.
 *
 * The first renewal of each identity comes at any time of its token's life, and of each later one the moment is chosen
 * so that they do not come together: many that were started at once make a steady few exchanges a second.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = /* @__PURE__ */ Effect.fnUntraced(function* (
  options: Options = {}
): Effect.fn.Return<TokenServiceMap["Service"], TokenError.TokenError, Scope.Scope> {
  const capacity = options.capacity ?? 10_000
  if (!(capacity >= 1)) return yield* invalid("TokenServiceMap", "capacity", "it must be 1 or more")
  const idle = Duration.toMillis(Duration.fromInputUnsafe(options.idleTimeToLive ?? "1 hour"))
  const policy = { whenIdle: "on-demand", ...options.policy } as const

  /** The least recently used comes first. */
  const entries = new Map<string, Entry>()
  const forget = ({ engine }: Entry) => {
    engine.retire()
    entries.delete(engine.identity)
    Identities.remove(engine.identity)
  }
  const isInUse = ({ engine, users }: Entry) => users > 0 || !engine.isAtRest

  const agenda = Agenda.make()
  const environment = yield* Effect.mapError(
    Actor.make(policy, agenda, Agenda.spread),
    (reason) => new TokenError.TokenError({ provider: "TokenServiceMap", reason })
  )
  const isShared = Option.isSome(yield* Effect.serviceOption(TokenStore))
  const now = () => monotonic(environment.clock)

  /** Forgets those that nobody asked for; the oldest that stays says when to look again. */
  const sweeper = {
    wakeAt: Infinity,
    notedAt: Infinity,
    next(): undefined {
      this.wakeAt = Infinity
      for (const entry of entries.values()) {
        if (now() - entry.usedAt < idle) {
          this.wakeAt = entry.usedAt + idle
          break
        }
        // Who waits this long is asked for now.
        if (isInUse(entry)) touch(entry)
        else forget(entry)
      }
    }
  }

  const touch = (entry: Entry) => {
    entry.usedAt = now()
    entries.delete(entry.engine.identity)
    entries.set(entry.engine.identity, entry)
  }

  const makeRoom = (): boolean => {
    if (entries.size < capacity) return true
    for (const entry of entries.values()) {
      if (isInUse(entry)) continue
      forget(entry)
      return true
    }
    return false
  }

  let closed = false
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      closed = true
      // Those at rest have nothing to end.
      const busy = [...entries.values()].filter(isInUse)
      for (const entry of entries.values()) forget(entry)
      return Effect.forEach(busy, ({ engine }) => engine.close(), { concurrency: "unbounded", discard: true })
    })
  )

  const use = <A, E>(entry: Entry, f: (engine: Engine.Engine) => Effect.Effect<A, E>): Effect.Effect<A, E> => {
    touch(entry)
    const answer = f(entry.engine)
    if (Exit.isExit(answer)) return answer
    entry.users += 1
    return Effect.ensuring(
      answer,
      Effect.sync(() => {
        entry.users -= 1
      })
    )
  }

  const service = (provider: TokenProvider, identity: string): TokenService.TokenService["Service"] => {
    const open = Effect.suspend(() => {
      const entry = { engine: new Engine.Engine(provider, identity, environment), users: 0, usedAt: now() }
      entries.set(identity, entry)
      if (entries.size === 1) environment.wake(sweeper)
      return Effect.as(isShared ? Effect.void : Identities.add(identity, provider), entry)
    })
    const openIfRoom = Effect.suspend(() =>
      makeRoom() ? open : invalid(provider.name, "capacity", `all ${capacity} identities are in use at once; raise it`)
    )
    const having =
      <E>(opened: Effect.Effect<Entry, E>) =>
      <A, E1>(f: (engine: Engine.Engine) => Effect.Effect<A, E1>) =>
        Effect.suspend((): Effect.Effect<A, E | E1> => {
          if (closed) return Effect.interrupt
          const entry = entries.get(identity)
          return entry === undefined ? Effect.flatMap(opened, (entry) => use(entry, f)) : use(entry, f)
        })
    return {
      ...toService(having(openIfRoom), having(open)),
      // Looking at one that is not held needs no room.
      state: Effect.sync(() =>
        (entries.get(identity)?.engine ?? new Engine.Engine(provider, identity, environment)).state()
      )
    }
  }

  return TokenServiceMap.of({
    get: (provider) => named(provider, (identity) => service(provider, identity)),
    size: Effect.sync(() => entries.size)
  })
})

/**
 * Provides {@link make}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<TokenServiceMap, TokenError.TokenError> =>
  Layer.effect(TokenServiceMap, make(options))

/**
 * A map for specs: no clock, no network. Each identity serves outcomes of its own, as `TokenService.layerTest` does; the
 * calls of all are recorded in `TokenService.TestCalls`.
 *
 * @category testing
 * @since 0.1.0
 */
export const layerTest = (
  outcomesOf: (identity: string) => TokenService.Outcomes
): Layer.Layer<TokenServiceMap | TokenService.TestCalls> =>
  Layer.effectContext(
    Effect.sync(() => {
      const calls: Array<TokenService.Call> = []
      const services = new Map<string, TokenService.TokenService["Service"]>()
      const serviceOf = (identity: string) => {
        const service = services.get(identity) ?? TokenService.makeTest(outcomesOf(identity), calls)
        services.set(identity, service)
        return service
      }
      return Context.make(
        TokenServiceMap,
        TokenServiceMap.of({
          get: (provider) => named(provider, serviceOf),
          size: Effect.sync(() => services.size)
        })
      ).pipe(Context.add(TokenService.TestCalls, TokenService.TestCalls.of(Effect.sync(() => [...calls]))))
    })
  )

const named = <A>(
  { identity, name }: TokenProvider,
  f: (identity: string) => A
): Effect.Effect<A, TokenError.TokenError> =>
  Effect.mapBoth(identity, {
    onFailure: (reason) => new TokenError.TokenError({ provider: name, reason }),
    onSuccess: f
  })
