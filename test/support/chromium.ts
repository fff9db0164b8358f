/**
 * A real browser without a window, driven by its DevTools protocol: types and clicks as a person would, and waits for what
 * shows rather than for time. It can reach nothing but this machine.
 */
import { Data, Effect, Schedule, Schema, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Binary from "./chromiumBinary.ts"

export class ChromiumError extends Data.TaggedError("ChromiumError")<{ readonly message: string }> {}

const binary = Binary.find()

/** Whether tests of a browser are left out. `REQUIRE_BROWSER=1` has them fail instead. */
export const isSkipped: boolean = binary === undefined && process.env["REQUIRE_BROWSER"] !== "1"

/** Says in the name of a test why it is left out. */
export const named = (name: string): string => (isSkipped ? `${name} (skipped: ${Binary.missing})` : name)

/** A line of the page's console, an exception nobody caught, or a resource that could not be loaded. */
export interface Complaint {
  readonly text: string
  /** Of what it is about, where the browser says so. */
  readonly url: string
}

/** A tab. What waits gives up after 15 seconds, and then says what the page shows. */
export interface Page {
  /** Fails where nothing answers. */
  readonly goto: (url: string) => Effect.Effect<void, ChromiumError>
  readonly url: Effect.Effect<string, ChromiumError>
  /** What the page shows, as text. */
  readonly text: Effect.Effect<string, ChromiumError>
  /** Waits until the page shows this. */
  readonly waitForText: (text: string) => Effect.Effect<void, ChromiumError>
  /** Waits for an element, and types into it. */
  readonly fill: (selector: string, value: string) => Effect.Effect<void, ChromiumError>
  /** Picks a file of this machine in a file input. */
  readonly pick: (selector: string, path: string) => Effect.Effect<void, ChromiumError>
  /** Waits for an element, and clicks on the middle of it. */
  readonly click: (selector: string) => Effect.Effect<void, ChromiumError>
  /** Writes `NAME.png`, and gives its path: into `SCREENSHOTS`, or into a directory that goes with the browser. */
  readonly screenshot: (name: string) => Effect.Effect<string, ChromiumError>
  readonly complaints: Effect.Effect<ReadonlyArray<Complaint>>
  /** Runs JavaScript in the page, waits for it if it is a promise, and reads its result. */
  readonly evaluate: <S extends Schema.Decoder<unknown>>(
    expression: string,
    value: S
  ) => Effect.Effect<S["Type"], ChromiumError>
  /** Asks for something until it is not `null`. `what` names it if it never is. */
  readonly waitFor: <S extends Schema.Decoder<unknown>>(
    what: string,
    expression: string,
    value: S
  ) => Effect.Effect<S["Type"], ChromiumError>
  readonly reload: Effect.Effect<void, ChromiumError>
  /** Stops all tasks of the page, as the browser does with a tab that was in the background for long, or has them go on. */
  readonly setFrozen: (isFrozen: boolean) => Effect.Effect<void, ChromiumError>
  /** Kills the process of the page. */
  readonly crash: Effect.Effect<void, ChromiumError>
  /** Limits what the origin of the page may store, in bytes; `undefined` lifts the limit. */
  readonly setQuota: (bytes: number | undefined) => Effect.Effect<void, ChromiumError>
}

export interface OpenOptions {
  /** JavaScript that runs before any of the page's own. */
  readonly before?: string | undefined
}

export interface Chromium {
  /** Opens a tab. */
  readonly open: (url: string, options?: OpenOptions) => Effect.Effect<Page, ChromiumError>
  /** Waits for a tab that a page opened by itself, and takes it over. */
  readonly adopt: Effect.Effect<Page, ChromiumError>
  /** Stops all processes of the browser, as a machine that sleeps does, or has them go on. */
  readonly setStopped: (isStopped: boolean) => Effect.Effect<void>
}

const fail = (message: string) => Effect.fail(new ChromiumError({ message }))

// ---------------------------------------------------------------------------------------------------------------------
// The browser
// ---------------------------------------------------------------------------------------------------------------------

/** Whatever resolves to something else is not there. */
const onlyThisMachine = "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"

const scratch = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "chromium-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }))
)

const isOver = ({ exitCode, pid, signalCode }: ChildProcess) =>
  pid === undefined || exitCode !== null || signalCode !== null

/** Browsers have children of their own: the whole group, of which we made it the head. */
const kill = (child: ChildProcess) => {
  if (child.pid !== undefined && !isOver(child)) process.kill(-child.pid, "SIGKILL")
}

/** Those that a test did not come round to end. */
const running = new Set<ChildProcess>()
process.once("exit", () => running.forEach(kill))

/** Starts it, and gives its process and the address of its DevTools. */
const start = (path: string, profile: string) =>
  Effect.gen(function* () {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => {
        // A proxy of the environment would reach what the rule for hosts hides.
        const child = spawn(path, [...Binary.flags(profile, onlyThisMachine), "--no-proxy-server", "about:blank"], {
          detached: true,
          stdio: ["ignore", "ignore", "pipe"]
        })
        running.add(child)
        return child
      }),
      (child) =>
        Effect.callback<void>((resume) => {
          running.delete(child)
          if (isOver(child)) return resume(Effect.void)
          // Once it is gone its profile can be removed.
          child.once("exit", () => resume(Effect.void))
          kill(child)
        })
    )
    const address = yield* Effect.callback<string, ChromiumError>((resume) => {
      let output = ""
      child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
        output += chunk
        const address = /DevTools listening on (ws:\S+)/.exec(output)?.[1]
        if (address !== undefined) resume(Effect.succeed(address))
      })
      child.on("error", (error) => resume(fail(error.message)))
      child.on("exit", (code) => resume(fail(`the browser ended with ${code}: ${output.slice(-2_000)}`)))
    })
    return { child, address }
  })

// ---------------------------------------------------------------------------------------------------------------------
// The DevTools protocol: https://chromedevtools.github.io/devtools-protocol/
// ---------------------------------------------------------------------------------------------------------------------

const Message = Schema.fromJsonString(
  Schema.Struct({
    id: Schema.optional(Schema.Number),
    sessionId: Schema.optional(Schema.String),
    result: Schema.optional(Schema.Unknown),
    error: Schema.optional(Schema.Struct({ message: Schema.String })),
    method: Schema.optional(Schema.String),
    params: Schema.optional(Schema.Unknown)
  })
)
const decodeMessage = Schema.decodeUnknownSync(Message)

type Listener = (method: string, params: unknown) => void

/** A method's answer, read by its schema. */
type Send = <S extends Schema.Decoder<unknown>>(
  method: string,
  parameters: Readonly<Record<string, unknown>>,
  answer: S
) => Effect.Effect<S["Type"], ChromiumError>

interface Connection {
  /** Of a session: of one tab. */
  readonly on: (sessionId: string | undefined, listener?: Listener) => Send
}

const connect = Effect.fnUntraced(function* (address: string) {
  const socket = yield* Effect.acquireRelease(
    Effect.callback<WebSocket, ChromiumError>((resume) => {
      const socket = new WebSocket(address)
      socket.addEventListener("open", () => resume(Effect.succeed(socket)))
      socket.addEventListener("error", () => resume(fail("the browser's DevTools do not answer")))
    }),
    (socket) => Effect.sync(() => socket.close())
  )
  let lastId = 0
  const pending = new Map<number, (answer: Effect.Effect<unknown, ChromiumError>) => void>()
  const listeners = new Map<string, Listener>()
  socket.addEventListener("message", ({ data }) => {
    const { error, id, method, params, result, sessionId } = decodeMessage(data)
    if (id !== undefined) {
      pending.get(id)?.(error === undefined ? Effect.succeed(result) : fail(error.message))
      pending.delete(id)
    } else if (method !== undefined && sessionId !== undefined) {
      listeners.get(sessionId)?.(method, params)
    }
  })
  socket.addEventListener("close", () => {
    for (const resume of pending.values()) resume(fail("the browser is gone"))
    pending.clear()
  })
  const connection: Connection = {
    on: (sessionId, listener) => {
      if (sessionId !== undefined && listener !== undefined) listeners.set(sessionId, listener)
      return (method, params, answer) =>
        Effect.callback<unknown, ChromiumError>((resume) => {
          if (socket.readyState !== WebSocket.OPEN) return resume(fail("the browser is gone"))
          const id = ++lastId
          pending.set(id, resume)
          socket.send(JSON.stringify({ id, method, params, ...(sessionId === undefined ? {} : { sessionId }) }))
        }).pipe(Effect.flatMap((result) => Effect.orDie(Schema.decodeUnknownEffect(answer)(result))))
    }
  }
  return connection
})

const Nothing = Schema.Unknown
const Target = Schema.Struct({ targetId: Schema.String })
const Targets = Schema.Struct({
  targetInfos: Schema.Array(Schema.Struct({ targetId: Schema.String, type: Schema.String }))
})
const Session = Schema.Struct({ sessionId: Schema.String })
const Node = Schema.Struct({ nodeId: Schema.Number })
const Root = Schema.Struct({ root: Node })
const Navigated = Schema.Struct({ errorText: Schema.optional(Schema.String) })
const Screenshot = Schema.Struct({ data: Schema.String })
const Evaluated = Schema.Struct({
  result: Schema.Struct({ value: Schema.optional(Schema.Unknown) }),
  exceptionDetails: Schema.optional(
    Schema.Struct({
      text: Schema.String,
      exception: Schema.optional(Schema.Struct({ description: Schema.optional(Schema.String) }))
    })
  )
})

const decodeComplaint = {
  "Log.entryAdded": Schema.decodeUnknownSync(
    Schema.Struct({
      entry: Schema.Struct({ level: Schema.String, text: Schema.String, url: Schema.optional(Schema.String) })
    })
  ),
  "Runtime.exceptionThrown": Schema.decodeUnknownSync(
    Schema.Struct({
      exceptionDetails: Schema.Struct({ text: Schema.String, url: Schema.optional(Schema.String) })
    })
  ),
  "Runtime.consoleAPICalled": Schema.decodeUnknownSync(
    Schema.Struct({
      type: Schema.String,
      args: Schema.Array(
        Schema.Struct({ value: Schema.optional(Schema.Unknown), description: Schema.optional(Schema.String) })
      )
    })
  )
}

const complaintOf = (method: string, params: unknown): Complaint | undefined => {
  switch (method) {
    case "Log.entryAdded": {
      const { level, text, url = "" } = decodeComplaint[method](params).entry
      return level === "error" || level === "warning" ? { text, url } : undefined
    }
    case "Runtime.exceptionThrown": {
      const { text, url = "" } = decodeComplaint[method](params).exceptionDetails
      return { text, url }
    }
    case "Runtime.consoleAPICalled": {
      const { args } = decodeComplaint[method](params)
      return { text: args.map(({ description, value }) => description ?? String(value)).join(" "), url: "" }
    }
    default:
      return undefined
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// A tab
// ---------------------------------------------------------------------------------------------------------------------

const Point = Schema.Struct({ x: Schema.Number, y: Schema.Number })

const makePage = Effect.fnUntraced(function* (
  connection: Connection,
  directory: string,
  targetId: string,
  { before }: OpenOptions = {}
) {
  const browser = connection.on(undefined)
  const { sessionId } = yield* browser("Target.attachToTarget", { targetId, flatten: true }, Session)
  const complaints: Array<Complaint> = []
  const send = connection.on(sessionId, (method, params) => {
    const complaint = complaintOf(method, params)
    if (complaint !== undefined) complaints.push(complaint)
  })
  yield* send("Runtime.enable", {}, Nothing)
  yield* send("Log.enable", {}, Nothing)
  yield* send("Page.enable", {}, Nothing)
  if (before !== undefined) yield* send("Page.addScriptToEvaluateOnNewDocument", { source: before }, Nothing)

  const evaluate = <S extends Schema.Decoder<unknown>>(expression: string, value: S) =>
    send(
      "Runtime.evaluate",
      { expression, returnByValue: true, awaitPromise: true, userGesture: true },
      Evaluated
    ).pipe(
      Effect.flatMap(({ exceptionDetails, result }) =>
        exceptionDetails === undefined
          ? Effect.orDie(Schema.decodeUnknownEffect(value)(result.value))
          : fail(exceptionDetails.exception?.description ?? exceptionDetails.text)
      )
    )
  const text = evaluate("document.body?.innerText ?? ''", Schema.String)
  const url = evaluate("location.href", Schema.String)

  /** Asks until the answer is something. Between two pages there is nobody to ask, which is no answer either. */
  const waitFor = <S extends Schema.Decoder<unknown>>(what: string, expression: string, value: S) =>
    evaluate(expression, Schema.NullOr(value)).pipe(
      Effect.orElseSucceed(() => null),
      Effect.flatMap((answer) => (answer === null ? fail("not yet") : Effect.succeed(answer))),
      Effect.retry(Schedule.spaced("25 millis")),
      Effect.timeoutOrElse({
        duration: "2 minutes",
        orElse: () =>
          Effect.flatMap(Effect.all([url, text]), ([url, text]) => fail(`waited for ${what}; ${url} shows: ${text}`))
      })
    )
  /** Waits for an element that can be seen, and gives its middle. */
  const locate = (selector: string) =>
    waitFor(
      selector,
      `(() => {
        const element = document.querySelector(${JSON.stringify(selector)})
        element?.scrollIntoView({ block: "center", behavior: "instant" })
        const { x, y, width, height } = element?.getBoundingClientRect() ?? { width: 0 }
        return width === 0 ? null : { x: x + width / 2, y: y + height / 2 }
      })()`,
      Point
    )
  const click = Effect.fnUntraced(function* (selector: string) {
    const point = yield* locate(selector)
    for (const type of ["mousePressed", "mouseReleased"]) {
      yield* send("Input.dispatchMouseEvent", { type, ...point, button: "left", clickCount: 1 }, Nothing)
    }
  })

  const page: Page = {
    goto: (url) =>
      Effect.flatMap(send("Page.navigate", { url }, Navigated), ({ errorText }) =>
        errorText === undefined ? Effect.void : fail(`${url} could not be opened: ${errorText}`)
      ),
    url,
    text,
    waitForText: (wanted) =>
      Effect.asVoid(
        waitFor(
          JSON.stringify(wanted),
          `document.body?.innerText.includes(${JSON.stringify(wanted)}) ? true : null`,
          Schema.Boolean
        )
      ),
    click,
    fill: Effect.fnUntraced(function* (selector, value) {
      yield* click(selector)
      yield* evaluate(`document.querySelector(${JSON.stringify(selector)}).select()`, Nothing)
      yield* send("Input.insertText", { text: value }, Nothing)
    }),
    pick: Effect.fnUntraced(function* (selector, path) {
      const { root } = yield* send("DOM.getDocument", {}, Root)
      const { nodeId } = yield* send("DOM.querySelector", { nodeId: root.nodeId, selector }, Node)
      yield* send("DOM.setFileInputFiles", { nodeId, files: [path] }, Nothing)
    }),
    screenshot: Effect.fnUntraced(function* (name) {
      const { data } = yield* send("Page.captureScreenshot", { format: "png" }, Screenshot)
      const path = join(directory, `${name}.png`)
      yield* Effect.sync(() => writeFileSync(path, Buffer.from(data, "base64")))
      return path
    }),
    complaints: Effect.sync(() => [...complaints]),
    evaluate,
    waitFor,
    reload: Effect.asVoid(send("Page.reload", {}, Nothing)),
    setFrozen: (isFrozen) =>
      Effect.asVoid(send("Page.setWebLifecycleState", { state: isFrozen ? "frozen" : "active" }, Nothing)),
    // Nobody is left who could answer.
    crash: Effect.asVoid(Effect.forkDetach(Effect.exit(send("Page.crash", {}, Nothing)), { startImmediately: true })),
    setQuota: Effect.fnUntraced(function* (quotaSize) {
      const { origin } = new URL(yield* url)
      yield* send("Storage.overrideQuotaForOrigin", { origin, quotaSize }, Nothing)
    })
  }
  return page
})

/** Starts a browser with a profile of its own, which ends with the scope. */
export const make: Effect.Effect<Chromium, ChromiumError, Scope.Scope> = Effect.gen(function* () {
  if (binary === undefined) return yield* fail(Binary.missing)
  const directory = yield* scratch
  const screenshots = process.env["SCREENSHOTS"] ?? directory
  mkdirSync(screenshots, { recursive: true })
  const { address, child } = yield* start(binary, join(directory, "profile"))
  const connection = yield* connect(address)
  const browser = connection.on(undefined)
  const known = new Set<string>()
  const targets = Effect.map(browser("Target.getTargets", {}, Targets), ({ targetInfos }) =>
    targetInfos.filter(({ type }) => type === "page").map(({ targetId }) => targetId)
  )
  // The tab that the browser began with.
  for (const target of yield* targets) known.add(target)
  const attach = (targetId: string, options?: OpenOptions) => {
    known.add(targetId)
    return makePage(connection, screenshots, targetId, options)
  }
  return {
    open: Effect.fnUntraced(function* (url, options) {
      const { targetId } = yield* browser("Target.createTarget", { url: "about:blank" }, Target)
      const page = yield* attach(targetId, options)
      yield* page.goto(url)
      return page
    }),
    adopt: targets.pipe(
      Effect.flatMap((targets) => {
        const target = targets.find((target) => !known.has(target))
        return target === undefined ? fail("no page opened another tab") : Effect.succeed(target)
      }),
      Effect.retry({ schedule: Schedule.spaced("25 millis"), times: 1_000 }),
      Effect.flatMap((target) => attach(target))
    ),
    setStopped: (isStopped) =>
      Effect.sync(() => {
        if (child.pid !== undefined && !isOver(child)) process.kill(-child.pid, isStopped ? "SIGSTOP" : "SIGCONT")
      })
  }
})
