/** An OpenID Connect server as the examples meet it: a login service on loopback, and somebody who signs in there. */
import { Config, ConfigProvider, Context, Effect, Layer, Option } from "effect"
import { FetchHttpClient, HttpClient } from "effect/http"
import * as MovingImageSandbox from "effect-video-auth/testing/MovingImageSandbox"
import { open, signIn, submit } from "../../test/support/signIn.ts"

const account = { username: "your_username", password: "your_password" }

/** Who sits at the browser, where nobody does: signs in on the server's own pages. */
export class Person extends Context.Service<
  Person,
  {
    /** Signs in where a program led the browser, and gives where the server leads it then. */
    readonly signsIn: (url: string) => Effect.Effect<URL>
    /** Enters a device's code, signs in, and confirms. */
    readonly enters: (url: string) => Effect.Effect<void>
  }
>()("examples/Person") {}

const browser = <A, E>(effect: Effect.Effect<A, E, HttpClient.HttpClient>) =>
  Effect.provide(effect, [
    FetchHttpClient.layer,
    Layer.succeed(FetchHttpClient.RequestInit, { redirect: "manual" }),
    Layer.succeed(HttpClient.TracerPropagationEnabled, false)
  ])

const somebody = Person.of({
  signsIn: (url) => browser(signIn(url)),
  enters: (url) =>
    browser(
      Effect.gen(function* () {
        const led = yield* open(url)
        const login = led.headers["location"]
        yield* submit(login === undefined ? led : yield* open(login), account)
      })
    )
})

/** A person of flesh and blood does it in their own time. */
const nobody = Person.of({ signsIn: () => Effect.never, enters: () => Effect.void })

/** Starts a server, and sets `OAUTH_ISSUER` and `OAUTH_API`. */
const sandbox = Layer.merge(
  ConfigProvider.layer(
    Effect.map(MovingImageSandbox.MovingImageSandbox, ({ issuer, url }) =>
      ConfigProvider.fromUnknown({
        OAUTH_ISSUER: issuer,
        OAUTH_API: `${url}/v1/vms`,
        OAUTH_CLIENT_SECRET: "your_client_secret",
        MOVINGIMAGE_BASE_URL: url
      })
    )
  ),
  Layer.succeed(Person, somebody)
).pipe(Layer.provideMerge(MovingImageSandbox.layer()))

/** The same, unless `OAUTH_ISSUER` is set: then that server, its clients, and real people. */
export const login = Layer.unwrap(
  Effect.map(Config.option(Config.String("OAUTH_ISSUER")), (issuer) =>
    Option.isSome(issuer) ? Layer.succeed(Person, nobody) : sandbox
  )
)
