/** A platform's server, and the options that lead to it: checked before any network. */
import * as Config from "effect/Config"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as TokenError from "../../token/TokenError.ts"
import { invalid, withProvider } from "../../token/shared/failures.ts"
import { readConfig, wrongVariable } from "./configuration.ts"
import { isSecureOrigin } from "./origin.ts"

/** Where requests go, and what they say of the program. */
export interface Server {
  readonly platform: string
  /** The platform and which one of its servers, for people, as in `api.video sandbox`. */
  readonly name: string
  readonly host: string
  /** Without a slash at its end. */
  readonly baseUrl: string
  /** Sent with every request. */
  readonly headers: Readonly<Record<string, string>>
  /** Repeated refusals of a login lock the account. @default false */
  readonly locksAccount?: boolean
}

/** Checks a base URL: it has to keep a secret, and be no more than a place. */
export const locate = (
  baseUrl: string
): Effect.Effect<Pick<Server, "baseUrl" | "host">, TokenError.ConfigurationInvalid> =>
  // A key on plain http could be read by others, and a user name in a URL is mostly a trick.
  isSecureOrigin(baseUrl) && !/[?#@]/.test(baseUrl)
    ? Effect.succeed({ baseUrl: baseUrl.replace(/\/+$/, ""), host: new URL(baseUrl).host })
    : Effect.fail(invalid("baseUrl", "it must be https, or http on loopback, with at most a path"))

/** What {@link serverAt} needs to know of a server, whose headers may depend on options. */
export interface ServerTraits<Own> extends Pick<Server, "platform" | "baseUrl" | "locksAccount"> {
  /** Headers of every request to the platform. They are not for secrets. @default none */
  readonly headers?: Server["headers"] | ((options: Own) => Server["headers"]) | undefined
}

/**
 * Makes the server at an option `baseUrl`, or at the platform's own URL. If `headers` is a function, the options it reads
 * become options of the client: `({ clientId }: { readonly clientId: string }) => ({ "Client-Id": clientId })`.
 *
 * Fails with `ConfigurationInvalid` for a URL on which a secret would not be safe.
 */
export const serverAt =
  <Own extends object = {}>({ baseUrl: usual, headers = {}, platform, ...traits }: ServerTraits<Own>) =>
  (options: Own & { readonly baseUrl?: string | undefined }): Effect.Effect<Server, TokenError.TokenError> =>
    Effect.map(locate(options.baseUrl ?? usual), (place) => ({
      ...traits,
      platform,
      name: `${platform} ${place.host}`,
      headers: typeof headers === "function" ? headers(options) : headers,
      ...place
    })).pipe(withProvider(platform))

/** A secret as a program gives it: as it is, or by an effect that reads it each time and may need services. */
export type SecretSource<R = never> = Redacted.Redacted | Effect.Effect<Redacted.Redacted, unknown, R>

const isConfig = (source: SecretSource<unknown>): source is Config.Config<Redacted.Redacted> => Config.isConfig(source)

/** Provides the services that the reading of a secret needs. A `Config` stays one, for the messages of its errors. */
export const withServices = <R>(source: SecretSource<R>, context: Context.Context<R>): SecretSource =>
  Redacted.isRedacted(source) || isConfig(source) ? source : Effect.provide(source, context)

/** Name and code of a failure, without its message, which could contain the secret. */
const nameOf = (error: unknown): string | undefined => {
  const member = (name: string) => {
    const value = Predicate.hasProperty(error, name) ? error[name] : undefined
    return typeof value === "string" && /^[A-Za-z][\w.$-]{0,59}$/.test(value) ? value : undefined
  }
  const name = member("_tag") ?? member("name")
  const code = member("code")
  return name !== undefined && code !== undefined ? `${name}, ${code}` : (name ?? code)
}

/** Only configuration that is missing or wrong needs a person. Whatever else stops a vault may pass. */
const reasonOfFailure = (
  option: string,
  error: unknown
): TokenError.ConfigurationInvalid | TokenError.CredentialUnavailable =>
  error instanceof TokenError.ConfigurationInvalid || error instanceof TokenError.CredentialUnavailable
    ? error
    : error instanceof Config.ConfigError
      ? wrongVariable(option, error)
      : new TokenError.CredentialUnavailable({ credential: option, failure: nameOf(error) })

/** Runs the effect that reads a secret. */
export const runSource = <A>(
  option: string,
  source: Config.Config<A> | Effect.Effect<A, unknown>
): Effect.Effect<A, TokenError.ConfigurationInvalid | TokenError.CredentialUnavailable> =>
  Config.isConfig(source)
    ? readConfig(option, source)
    : Effect.mapError(source, (error) => reasonOfFailure(option, error))

/**
 * Reads a secret: what cannot be one is found before any network. An empty one gets the `advice`. Fails with
 * `ConfigurationInvalid` for that, and for a `ConfigError`; with `CredentialUnavailable` for any other failure.
 */
export const readSecret = (
  option: string,
  source: SecretSource,
  forbidden: RegExp,
  advice = ""
): Effect.Effect<string, TokenError.ConfigurationInvalid | TokenError.CredentialUnavailable> =>
  Effect.flatMap(
    Redacted.isRedacted(source) ? Effect.succeed(source) : runSource(option, source),
    (redacted): Effect.Effect<string, TokenError.ConfigurationInvalid> => {
      const secret = Redacted.value(redacted)
      const problem =
        secret.trim() === ""
          ? `it is empty${advice}`
          : forbidden.test(secret)
            ? "it has a space or a line break in it"
            : undefined
      return problem === undefined ? Effect.succeed(secret) : Effect.fail(invalid(option, problem))
    }
  )

/**
 * Names a credential without telling it: the first 64 bits of a SHA-256 over base URL and credential. A page that is not
 * served securely has no SHA-256, and a name of its own.
 */
export const identityOf = (server: Server, credential: string): Effect.Effect<string> =>
  Effect.map(
    Effect.promise(async () => {
      const text = new TextEncoder().encode(`${server.baseUrl}\n${credential}`)
      return crypto.subtle?.digest("SHA-256", text) ?? crypto.getRandomValues(new Uint8Array(8)).buffer
    }),
    (digest) => `${server.platform}:${server.host}:${new DataView(digest).getBigUint64(0).toString(16)}`
  )
