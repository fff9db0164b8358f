/**
 * `npm run sandbox -- --port 8080 --ttl 3600`: runs api.video on this machine until SIGINT (Ctrl-C) or SIGTERM, and prints
 * a line for each request. With `--platform movingimage` it runs that platform instead.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as CliError from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as HttpServerError from "effect/http/HttpServerError"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as ApiVideoSandbox from "../testing/ApiVideoSandbox.ts"
import * as MovingImageSandbox from "../testing/MovingImageSandbox.ts"
import * as SandboxControl from "../testing/SandboxControl.ts"
import type * as SandboxDelivery from "../testing/SandboxDelivery.ts"
import * as SandboxKeycloak from "../testing/SandboxKeycloak.ts"
import * as SandboxSeed from "../testing/SandboxSeed.ts"
import type * as SandboxServer from "../testing/SandboxServer.ts"
import { deliveryJsonOf, deliveryLineOf, jsonOf, lineOf } from "./requestLog.ts"

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
  Flag.withDescription("Lifetime of access tokens in seconds. Default the platform's: 3600, of movingimage 300"),
  Flag.optional
)

const encodingFlag = Flag.Finite("encoding").pipe(
  Flag.filter(
    (seconds) => seconds >= 0,
    () => "at least 0 seconds"
  ),
  Flag.withDescription("Seconds that api.video takes to encode a video. Default 0"),
  Flag.optional
)

const seedFlag = Flag.FileSchema("seed", SandboxControl.JsonSeed, { format: "json" }).pipe(
  Flag.withDescription('JSON file of resources to start with, such as {"videos": [{"title": "Maths video"}]}'),
  Flag.optional
)

const quietFlag = Flag.Boolean("quiet").pipe(
  Flag.withDefault(false),
  Flag.withDescription("Don't print a line for each request")
)

const jsonFlag = Flag.Boolean("json").pipe(
  Flag.withDefault(false),
  Flag.withDescription("Print JSON, an object on each line: the first has the url, each other one a request")
)

const post = (url: string, body: object) =>
  `  curl -X POST ${url} -H 'Content-Type: application/json' -d '${JSON.stringify(body)}'`

const postForm = (url: string, fields: Record<string, string>) =>
  `  curl -X POST ${url} -d '${new URLSearchParams(fields).toString()}'`

interface Start extends SandboxServer.Setup {
  readonly accessTokenLifetime?: Duration.Duration
  readonly encodingTime?: Duration.Duration
  readonly onDelivery?: (delivery: SandboxDelivery.Delivery) => Effect.Effect<void>
}

interface Platform {
  readonly start: (start: Start) => Effect.Effect<{ readonly url: string }, HttpServerError.ServeError, Scope.Scope>
  /** A seed that it accepts. */
  readonly seed: SandboxSeed.Seed
  /** What it accepts, and what to try. */
  readonly introduction: (url: string) => ReadonlyArray<string>
}

const apiVideo: Platform = {
  start: (start) => Effect.map(Layer.build(ApiVideoSandbox.layer(start)), Context.get(ApiVideoSandbox.ApiVideoSandbox)),
  seed: { videos: [{ title: "Maths video" }] },
  introduction: (url) => [
    "It accepts these API keys, those of api.video's own examples:",
    ...ApiVideoSandbox.defaultApiKeys.map((key) => `  ${key}`),
    "",
    "Try it:",
    post(`${url}/auth/api-key`, { apiKey: "your_api_key" }),
    "",
    "The README's first program uses it with these variables:",
    `  APIVIDEO_API_KEY=your_api_key APIVIDEO_BASE_URL=${url} node index.ts`
  ]
}

const movingImage: Platform = {
  start: (start) =>
    Effect.map(Layer.build(MovingImageSandbox.layer(start)), Context.get(MovingImageSandbox.MovingImageSandbox)),
  seed: { videos: [{ videoManager: 101, fileName: "maths.mp4" }] },
  introduction: (url) => [
    "It accepts these accounts:",
    ...MovingImageSandbox.defaultAccounts.flatMap(({ password, username, videoManagers }) => [
      `  username ${username}, password ${password}`,
      `    VideoManagers: ${videoManagers.map(({ id, name }) => `${id} (${name})`).join(", ")}`
    ]),
    "",
    "A token is valid for one VideoManager: a login's for the first, a refresh's for the one in its path.",
    "Those of OpenID Connect are valid for all of their user's:",
    `  issuer ${SandboxKeycloak.issuerOf(url)}`,
    `  webfinger ${SandboxKeycloak.webfingerOf(url)}`,
    ...MovingImageSandbox.defaultClients.map(
      ({ grants, id, secret }) =>
        `  client ${id}${secret === undefined ? "" : `, secret ${secret}`}: ${grants.join(", ")}`
    ),
    "",
    "Try it:",
    post(`${url}/v1/vms/auth/login`, { username: "your_username", password: "your_password" }),
    postForm(`${url}${SandboxKeycloak.tokenPath}`, {
      grant_type: "password",
      client_id: "anonymous",
      scope: "openid",
      username: "your_username",
      password: "your_password"
    }),
    "",
    "The first program of docs/movingimage.md uses it with these variables, and videoManager 101:",
    `  MOVINGIMAGE_USERNAME=your_username MOVINGIMAGE_PASSWORD=your_password MOVINGIMAGE_BASE_URL=${url} node index.ts`
  ]
}

const platforms = { "api.video": apiVideo, movingimage: movingImage }

const platformFlag = Flag.Literals("platform", ["api.video", "movingimage"]).pipe(
  Flag.withDefault("api.video"),
  Flag.withDescription("What to run. Default api.video")
)

/** What a person reads when the server cannot listen. */
const refusal = (port: number, cause: unknown) => {
  const code = typeof cause === "object" && cause !== null && "code" in cause ? cause.code : undefined
  if (code === "EADDRINUSE") return `Port ${port} is in use: stop the other program, or choose another with --port.`
  if (code === "EACCES") return `Port ${port} is not open to this user: choose one above 1023 with --port.`
  return `The sandbox cannot listen on port ${port}${typeof code === "string" ? ` (${code})` : ""}.`
}

/** What starts a sandbox, or why not, in a sentence. */
const starting = <A>(start: Effect.Effect<A, HttpServerError.ServeError, Scope.Scope>, port: number) =>
  start.pipe(
    Effect.tapError((error) => Console.error(refusal(port, error.cause))),
    Effect.tapDefect((defect) =>
      defect instanceof SandboxSeed.SeedRefused ? Console.error(`--seed: ${defect.message}`) : Effect.void
    )
  )

/** How to steer a running sandbox: printed at the start, and in the help. */
const steering = (url: string, seed: SandboxSeed.Seed) => [
  {
    description: 'Let the next two API requests fail; the log shows it. times can be "Infinity"',
    command: `curl -X POST ${url}/_sandbox/faults -d '{"on":"api","times":2,"kind":{"_tag":"Status","status":503}}'`
  },
  { description: "Clear the faults that are left", command: `curl -X DELETE ${url}/_sandbox/faults` },
  { description: "Revoke all access tokens", command: `curl -X POST ${url}/_sandbox/tokens/revoke` },
  {
    description: "Create resources, and start again",
    command: `curl -X POST ${url}/_sandbox/seed -d '${JSON.stringify(seed)}'`
  },
  { command: `curl -X POST ${url}/_sandbox/reset` },
  { description: "List all commands, with examples", command: `curl ${url}/_sandbox` }
]

const sandbox = Command.make(
  "sandbox",
  {
    encoding: encodingFlag,
    json: jsonFlag,
    platform: platformFlag,
    port: portFlag,
    quiet: quietFlag,
    seed: seedFlag,
    ttl: ttlFlag
  },
  Effect.fnUntraced(function* ({ encoding, json, platform, port, quiet, seed, ttl }) {
    const { introduction, seed: example, start } = platforms[platform]
    const { url } = yield* starting(
      start({
        port,
        seed: Option.getOrUndefined(seed),
        ...Option.getOrUndefined(Option.map(ttl, (seconds) => ({ accessTokenLifetime: Duration.seconds(seconds) }))),
        ...Option.getOrUndefined(Option.map(encoding, (seconds) => ({ encodingTime: Duration.seconds(seconds) }))),
        ...(quiet
          ? {}
          : {
              onRequest: (entry) => Console.log(json ? jsonOf(entry) : lineOf(entry)),
              onDelivery: (delivery) => Console.log(json ? deliveryJsonOf(delivery) : deliveryLineOf(delivery))
            })
      }),
      port
    )
    yield* Console.log(
      json
        ? JSON.stringify({ event: "started", platform, url })
        : [
            `${platform} sandbox on ${url} (Ctrl-C ends it)`,
            "",
            ...introduction(url),
            "",
            "Steer it (npm run sandbox -- --help has more):",
            ...steering(url, example).map(({ command }) => `  ${command}`),
            ""
          ].join("\n")
    )
    return yield* Effect.never
  }, Effect.scoped)
).pipe(
  Command.withDescription(
    "Runs a video platform on this machine: same endpoints, tokens and errors, made-up data. Prints a line for each request: time, method, path, status, credential (bearer #2 is the second access token issued), duration, injected fault."
  ),
  Command.withExamples([
    { command: "npm run sandbox -- --port 0 --json", description: "Any free port; the first line has its url" },
    { command: "npm run sandbox -- --seed seed.json --quiet", description: "Start with the resources of a file" },
    ...steering("http://127.0.0.1:8080", apiVideo.seed)
  ])
)

/** Answers arguments that make no sense with one line, where the default is the whole help. */
const presenter = CliOutput.layerPresenter({
  present: (event) => {
    if (event._tag !== "InvalidInvocation") return CliOutput.defaultPresenter.present(event)
    const problems = event.errors.map(({ message }) => message.trim().replaceAll(/\s*\n\s*/g, " "))
    return Console.error(`npm run sandbox: ${problems.join("; ")}. See npm run sandbox -- --help`)
  }
})

/** Of the process: 2 for arguments that make no sense, as for every script of this repository. */
const statusOf = (exit: Exit.Exit<unknown, unknown>): number => {
  if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return 0
  const error = Cause.squash(exit.cause)
  if (!(error instanceof CliError.ShowHelp)) return 1
  return error.errors.length === 0 ? 0 : 2
}

Command.run(sandbox, { version: "0.1.0" }).pipe(
  Effect.provide([NodeServices.layer, presenter]),
  NodeRuntime.runMain({
    // The command line parser, or the command itself, has printed every failure.
    disableErrorReporting: true,
    teardown: (exit, onExit) => onExit(statusOf(exit))
  })
)
