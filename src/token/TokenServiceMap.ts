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
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Actor from "./internal/actor.ts"
import * as Agenda from "./internal/agenda.ts"
import * as Engine from "./internal/engine.ts"
import { toService } from "./internal/service.ts"
import { monotonic, toMillis } from "./shared/time.ts"
import * as Identities from "./shared/identities.ts"
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

const invalid = (option: string, problem: string) =>
  new TokenError.TokenError({
    provider: "TokenServiceMap",
    reason: new TokenError.ConfigurationInvalid({ option, problem })
  })

const full = (capacity: number) =>
  new TokenError.ConfigurationInvalid({
    option: "capacity",
    problem: `all ${capacity} identities are in use at the same time. Raise it`
  })

interface Entry {
  readonly engine: Engine.Engine
  /** Callers who wait for something. */
  users: number
  /** When it was last used, on the monotonic clock. */
  usedAt: number
  /** A warning that its first user logs. */
  warning: Effect.Effect<void>
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
  if (!(Number.isInteger(capacity) || capacity === Infinity) || capacity < 1) {
    return yield* invalid("capacity", "it must be a whole number of 1 or more")
  }
  const idle = toMillis(options.idleTimeToLive ?? "1 hour")
  if (!(idle >= 1_000)) return yield* invalid("idleTimeToLive", "it must be 1 second or more")
  const policy = { whenIdle: "on-demand", ...options.policy } as const

  /** In order of use, the least recently used first. */
  const entries = new Map<string, Entry>()
  const evict = ({ engine }: Entry) => {
    engine.retire()
    agenda.remove(engine)
    entries.delete(engine.identity)
    if (!isShared) Identities.remove(engine.identity)
  }
  const isInUse = ({ engine, users }: Entry) => users > 0 || !engine.isAtRest

  const agenda = Agenda.make()
  const environment = yield* Effect.mapError(
    Actor.make(policy, agenda, Agenda.spread),
    (reason) => new TokenError.TokenError({ provider: "TokenServiceMap", reason })
  )
  const isShared = Option.isSome(yield* Effect.serviceOption(TokenStore))
  const now = () => monotonic(environment.clock)

  /** Evicts identities that nobody asked for; the oldest that stays says when to look again. */
  const sweeper = {
    wakeAt: Infinity,
    position: -1,
    next() {
      this.wakeAt = Infinity
      for (const entry of entries.values()) {
        if (now() - entry.usedAt < idle) {
          this.wakeAt = entry.usedAt + idle
          break
        }
        // An identity whose token a caller has been waiting for all this time is in use now.
        if (isInUse(entry)) touch(entry)
        else evict(entry)
      }
    }
  }

  const touch = (entry: Entry) => {
    entry.usedAt = now()
    entries.delete(entry.engine.identity)
    entries.set(entry.engine.identity, entry)
  }

  /** Evicts the least recently used identities at rest. There may be several too many: not every call needs room. */
  const makeRoom = (): boolean => {
    for (const entry of entries.values()) {
      if (entries.size < capacity) break
      if (!isInUse(entry)) evict(entry)
    }
    return entries.size < capacity
  }

  let isClosed = false
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      isClosed = true
      // Engines at rest have nothing to end.
      const busy = [...entries.values()].filter(isInUse)
      const closing = busy.map(({ engine }) => engine.close())
      for (const entry of entries.values()) evict(entry)
      return Effect.all(closing, { concurrency: "unbounded", discard: true })
    })
  )

  const service = (provider: TokenProvider, identity: string): TokenService.TokenService["Service"] => {
    const fail = (reason: TokenError.Reason) =>
      Effect.fail(new TokenError.TokenError({ provider: provider.name, reason }))

    const open = (): Entry => {
      const engine = new Engine.Engine(provider, identity, environment)
      const warning = isShared ? Effect.void : Identities.add(identity, provider)
      const entry = { engine, users: 0, usedAt: now(), warning }
      entries.set(identity, entry)
      if (entries.size === 1) environment.wake(sweeper)
      return entry
    }

    /** Counts the user of an identity and runs the call. To be run uninterruptibly, or the count could stay too high. */
    const using = <A, E>(entry: Entry, call: Effect.Effect<A, E>): Effect.Effect<A, E> => {
      touch(entry)
      entry.users += 1
      const { warning } = entry
      entry.warning = Effect.void
      return Effect.ensuring(
        Effect.andThen(warning, call),
        Effect.sync(() => {
          entry.users -= 1
        })
      )
    }

    // To find or open an identity and to count its user is one step: another caller could evict it in between.
    const enter = <A, E, E1>(
      needsRoom: boolean,
      refuse: (reason: TokenError.Reason) => Effect.Effect<never, E1>,
      call: (engine: Engine.Engine) => Effect.Effect<A, E>
    ): Effect.Effect<A, E | E1> =>
      Effect.uninterruptibleMask((restore): Effect.Effect<A, E | E1> => {
        if (isClosed) return refuse(new TokenError.ServiceClosed())
        const held = entries.get(identity)
        const hasRoom = held !== undefined || makeRoom()
        if (needsRoom && !hasRoom) return refuse(full(capacity))
        const entry = held ?? open()
        return using(entry, restore(Effect.suspend(() => call(entry.engine))))
      })

    const { get, ...calls } = toService(
      (call) => enter(true, fail, call),
      (call) => enter(false, () => Effect.interrupt, call)
    )

    return {
      ...calls,
      // A full map keeps nobody from signing out, or from watching an identity.
      invalidate: enter(false, fail, (engine) => engine.invalidate()),
      // A token at hand needs no count, because nobody waits for it.
      get: Effect.suspend(() => {
        const entry = entries.get(identity)
        const token = entry?.engine.quick()
        if (entry === undefined || token === undefined) return get
        touch(entry)
        return token
      }),
      // Looking at an identity that is not held takes no room.
      state: Effect.sync(() => {
        const engine = entries.get(identity)?.engine ?? new Engine.Engine(provider, identity, environment)
        if (isClosed) engine.retire()
        return engine.state()
      })
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
