/**
 * The service that hands out a token that is valid now, and renews it.
 *
 * One fibre per layer watches the clock. It starts each exchange on a fibre of its own, in the layer's scope and with the
 * layer's context. Callers signal it and wait. All other state changes synchronously, so that no caller sees half of a change.
 *
 * Expiry is checked on the wall clock and on the monotonic clock, and the earlier one counts. Between two looks of the
 * schedule, which come at least every 30 s, `get` reads the wall clock only. Durations (pauses, timeouts, the storm window)
 * are measured on the monotonic clock only.
 *
 * @since 0.1.0
 */
import type * as Arr from "effect/Array"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as AccessToken from "./AccessToken.ts"
import type * as RenewalPolicy from "./RenewalPolicy.ts"
import * as Actor from "./internal/actor.ts"
import * as Engine from "./internal/engine.ts"
import { toService } from "./internal/service.ts"
import type { State } from "./internal/state.ts"
import { withProvider } from "./shared/failures.ts"
import * as Identities from "./shared/identities.ts"
import * as TokenError from "./TokenError.ts"
import type { TokenProvider } from "./TokenProvider.ts"
import { TokenStore } from "./TokenStore.ts"

export type { State }

/**
 * Hands out tokens for one identity.
 *
 * | member | promise |
 * | --- | --- |
 * | `get` | Returns a token that is valid now. Waits if no valid token is held (for at most 4 attempts or 20 s), close to expiry, and while a rejected token is being replaced. If that renewal fails, serves the held token as long as it has not expired |
 * | `getValidFor` | Returns a token that lasts that long, for a long upload, and renews it once if needed. Fails with `LifetimeTooShort` if even a new token doesn't last that long |
 * | `renew` | Renews now, or joins the exchange in flight. Fails if the exchange fails, and again for 1 s to 10 s after that |
 * | `reject` | Reports that the API refused this token. Returns a newer token if there is one already. Otherwise renews, and waits as long as `get` does without a token |
 * | `state` | Returns the {@link State} |
 * | `awaitChange` | Returns the next state that differs from the given one; at once if it differs already |
 * | `invalidate` | Signs out: forgets the credential here and in the store. The next `get` logs in again |
 *
 * Interrupting a caller loses nothing, because the exchange goes on for the others. Closing the scope interrupts the callers
 * that wait; a later call fails with `ServiceClosed`.
 *
 * @category services
 * @since 0.1.0
 */
export class TokenService extends Context.Service<
  TokenService,
  {
    readonly get: Effect.Effect<AccessToken.AccessToken, TokenError.TokenError>
    readonly getValidFor: (duration: Duration.Input) => Effect.Effect<AccessToken.AccessToken, TokenError.TokenError>
    readonly renew: Effect.Effect<AccessToken.AccessToken, TokenError.TokenError>
    readonly reject: (token: AccessToken.AccessToken) => Effect.Effect<AccessToken.AccessToken, TokenError.TokenError>
    readonly state: Effect.Effect<State>
    readonly awaitChange: (seen: State) => Effect.Effect<State>
    readonly invalidate: Effect.Effect<void, TokenError.TokenError>
  }
>()("effect-video-auth/TokenService") {}

/**
 * Options of a service.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  readonly provider: TokenProvider
  /** @default every option of RenewalPolicy at its default */
  readonly policy?: RenewalPolicy.Options | undefined
}

/**
 * Makes a service that lives until the scope closes. It shares the credential through the `TokenStore` in its context, or
 * keeps it in memory if the context has no store. Without a store, a second service of the same identity in this process is
 * a mistake, about which a warning is logged: each would renew on its own.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = /* @__PURE__ */ Effect.fnUntraced(function* ({
  policy,
  provider
}: Options): Effect.fn.Return<TokenService["Service"], TokenError.TokenError, Scope.Scope> {
  const failed = withProvider(provider.name)
  const identity = yield* failed(provider.identity)
  // Services that share a store also share the credential.
  if (Option.isNone(yield* Effect.serviceOption(TokenStore))) yield* Identities.register(identity, provider)
  const engine = new Engine.Engine(provider, identity, yield* failed(Actor.make(policy)))
  yield* Scope.addFinalizer(
    yield* Effect.scope,
    Effect.suspend(() => engine.close())
  )
  const use = <A, E>(f: (engine: Engine.Engine) => Effect.Effect<A, E>) => Effect.suspend(() => f(engine))
  return TokenService.of(toService(use, use))
})

/**
 * Streams the states of a service: the present one first, then each change.
 *
 * @category combinators
 * @since 0.1.0
 */
export const changes = (service: TokenService["Service"]): Stream.Stream<State> =>
  Stream.unwrap(
    Effect.map(service.state, (first) =>
      Stream.concat(
        Stream.succeed(first),
        Stream.unfold(first, (seen) => Effect.map(service.awaitChange(seen), (state) => [state, state] as const))
      )
    )
  )

/**
 * Provides a service for a provider. It shares the credential through a `TokenStore`, if the context has one.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<TokenService, TokenError.TokenError> =>
  Layer.effect(TokenService, make(options))

/**
 * One call to a {@link layerTest} service.
 *
 * @category testing
 * @since 0.1.0
 */
export type Call =
  | { readonly _tag: "get" | "renew" | "invalidate" }
  | { readonly _tag: "getValidFor"; readonly duration: Duration.Duration }
  | { readonly _tag: "reject"; readonly token: AccessToken.AccessToken }

/**
 * The calls to a {@link layerTest} service, in order.
 *
 * @category testing
 * @since 0.1.0
 */
export class TestCalls
  extends /* @__PURE__ */ Context.Service<TestCalls, Effect.Effect<ReadonlyArray<Call>>>()(
    "effect-video-auth/TokenService/TestCalls"
  ) {}

/**
 * Provides a service for specs, without a clock and a network. It serves the outcomes in order: a token until the program
 * renews or rejects it, a failure once, and the last outcome for good. A token may be a plain string. {@link TestCalls} has
 * the calls.
 *
 * **Example** (Testing what a program does when the key is refused)
 *
 * ```ts
 * import { Effect, Redacted } from "effect"
 * import { TokenError, TokenService } from "effect-video-auth"
 *
 * const layer = TokenService.layerTest(["first", new TokenError.InvalidCredentials({ status: 400 })])
 * const program = Effect.gen(function* () {
 *   const tokens = yield* TokenService.TokenService
 *   const token = yield* tokens.get
 *   const error = yield* Effect.flip(tokens.reject(token))
 *   const calls = yield* yield* TokenService.TestCalls
 *   return [Redacted.value(token.accessToken), error.reason._tag, calls.map((call) => call._tag)]
 * })
 * Effect.runSync(Effect.provide(program, layer)) // => ["first", "InvalidCredentials", ["get", "reject"]]
 * ```
 *
 * @category testing
 * @since 0.1.0
 */
export const layerTest = (outcomes: Outcomes): Layer.Layer<TokenService | TestCalls> =>
  Layer.effectContext(
    Effect.sync(() => {
      const calls: Array<Call> = []
      return Context.make(TokenService, makeTest(outcomes, calls)).pipe(
        Context.add(TestCalls, TestCalls.of(Effect.sync(() => [...calls])))
      )
    })
  )

/**
 * The outcomes of a test service, in order: tokens, which may be plain strings, and failures.
 *
 * @category testing
 * @since 0.1.0
 */
export type Outcomes = Arr.NonEmptyReadonlyArray<string | AccessToken.AccessToken | TokenError.Reason>

/**
 * Makes the service of {@link layerTest}. It appends its calls to `calls`.
 *
 * @category testing
 * @since 0.1.0
 */
export const makeTest = (outcomes: Outcomes, calls: Array<Call>): TokenService["Service"] => {
  let position = 0
  const advance = () => {
    position = Math.min(position + 1, outcomes.length - 1)
  }
  const serve: Effect.Effect<AccessToken.AccessToken, TokenError.TokenError> = Effect.suspend(() => {
    const outcome = outcomes[position]!
    if (typeof outcome === "string") return Effect.succeed(testToken(outcome, position + 1))
    if (outcome instanceof AccessToken.AccessToken) return Effect.succeed(outcome)
    advance()
    return Effect.fail(new TokenError.TokenError({ provider: "test", reason: outcome }))
  })
  const recorded = <A, E>(call: Call, effect: Effect.Effect<A, E>) =>
    Effect.suspend(() => {
      calls.push(call)
      return effect
    })
  const next = Effect.andThen(Effect.sync(advance), serve)
  const state: State = {
    phase: "valid",
    generation: 1,
    expiresAt: undefined,
    renewAt: undefined,
    lastFailure: undefined,
    degraded: false
  }
  return TokenService.of({
    get: recorded({ _tag: "get" }, serve),
    getValidFor: (duration) => recorded({ _tag: "getValidFor", duration: Duration.fromInputUnsafe(duration) }, serve),
    renew: recorded({ _tag: "renew" }, next),
    reject: (token) =>
      recorded(
        { _tag: "reject", token },
        Effect.suspend(() => {
          const outcome = outcomes[position]!
          const current = typeof outcome === "string" ? testToken(outcome, position + 1) : outcome
          const isCurrent = current instanceof AccessToken.AccessToken && AccessToken.isSameCredential(current, token)
          return isCurrent ? next : serve
        })
      ),
    state: Effect.succeed(state),
    awaitChange: () => Effect.never,
    invalidate: recorded({ _tag: "invalidate" }, Effect.sync(advance))
  })
}

/** A token that is valid until the last instant that a `Date` can represent. */
const testToken = (accessToken: string, generation: number) =>
  new AccessToken.AccessToken({
    accessToken: Redacted.make(accessToken, { label: "access_token" }),
    tokenType: "Bearer",
    issuedAt: 0,
    expiresAt: 8.64e15,
    generation
  })
