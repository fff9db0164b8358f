/**
 * `npm run sandbox -- --port 8080 --ttl 3600`: api.video on this machine, until Ctrl-C.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as ApiVideoSandbox from "../testing/ApiVideoSandbox.ts"

const portFlag = Flag.Int("port").pipe(
  Flag.filter(
    (port) => port >= 0 && port <= 65_535,
    () => "a port from 0 to 65535"
  ),
  Flag.withDefault(8080),
  Flag.withDescription("Port on 127.0.0.1; 0 takes any free one. Default 8080")
)

const ttlFlag = Flag.Int("ttl").pipe(
  Flag.filter(
    (seconds) => seconds > 0,
    () => "at least 1 second"
  ),
  Flag.withDefault(3600),
  Flag.withDescription("Lifetime of access tokens in seconds. Default 3600, as api.video's")
)

const greeting = (url: string) => `api.video sandbox on ${url} (Ctrl-C ends it)

It accepts these API keys, those of api.video's own examples:
${ApiVideoSandbox.defaultApiKeys.map((key) => `  ${key}`).join("\n")}

Try it:
  curl -X POST ${url}/auth/api-key -H 'Content-Type: application/json' -d '{"apiKey": "your_api_key"}'
`

/** What a person reads when the server cannot listen. */
const refusal = (port: number, cause: unknown) => {
  const code = typeof cause === "object" && cause !== null && "code" in cause ? cause.code : undefined
  if (code === "EADDRINUSE") return `Port ${port} is in use: stop the other program, or choose another with --port.`
  if (code === "EACCES") return `Port ${port} is not open to this user: choose one above 1023 with --port.`
  return `The sandbox cannot listen on port ${port}${typeof code === "string" ? ` (${code})` : ""}.`
}

const sandbox = Command.make(
  "sandbox",
  { port: portFlag, ttl: ttlFlag },
  Effect.fnUntraced(function* ({ port, ttl }) {
    const layer = ApiVideoSandbox.layer({ port, accessTokenLifetime: Duration.seconds(ttl) })
    const context = yield* Layer.build(layer).pipe(
      Effect.tapError((error) => Console.error(refusal(port, error.cause)))
    )
    yield* Console.log(greeting(Context.get(context, ApiVideoSandbox.ApiVideoSandbox).url))
    return yield* Effect.never
  }, Effect.scoped)
).pipe(Command.withDescription("Runs api.video on this machine: same endpoints, tokens and errors, made-up data."))

Command.run(sandbox, { version: "0.1.0" }).pipe(
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain({
    // Failures were told above or by the command line parser, in words.
    disableErrorReporting: true,
    teardown: (exit, onExit) =>
      onExit(Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause) || isHelp(exit.cause) ? 0 : 1)
  })
)

function isHelp(cause: Cause.Cause<unknown>): boolean {
  const error = Cause.squash(cause)
  return error instanceof CliError.ShowHelp && error.errors.length === 0
}
