/**
 * A small world in which the real driver of the store's protocol runs: one identity in one store, a platform, and a few
 * processes. Nothing happens by itself. Every call of the store, every exchange and every timer waits until somebody chooses
 * it, so all that can happen in a fleet can be explored: orders, lost replies, stops, kills, outages, sign-outs.
 */
import { Clock, Context, Effect, Exit, type Fiber, Logger, Predicate, Random, Redacted, Scheduler, Scope } from "effect"
import { AccessToken, type RenewalPolicy, TokenError, type TokenProvider, type TokenStore } from "effect-video-auth"
import * as Exchange from "../../../src/token/internal/exchange.ts"
import * as StoreProtocol from "../../../src/token/internal/storeProtocol.ts"
import * as StoreRow from "../../../src/token/shared/storeRow.ts"

/** What is explored. */
export interface Setup {
  readonly processes: number
  /** How often each process renews. */
  readonly renewals: number
  /** Whether the platform has a login. Without one, the store begins with a session. */
  readonly login: boolean
  /** A login ends earlier refresh tokens. */
  readonly supersedes: boolean
  /** Each process wants tokens for a subject of its own, and all of them share one refresh token. */
  readonly subjects?: boolean
  /** How often each disturbance may happen, and how many of them in all. */
  readonly faults: Partial<Record<Fault, number>>
  readonly atMost: number
}

/** Everything that can go wrong. */
export type Fault =
  /** A write is made and its reply lost. */
  | "reply lost"
  /** A call fails and has no effect. */
  | "call lost"
  /** A call fails and has its effect later. */
  | "call late"
  /** The platform does its work and the response is lost. */
  | "response lost"
  /** The request of an exchange times out and is processed later. */
  | "request late"
  /** Nothing was sent. */
  | "not sent"
  /** The platform responds that it is busy. */
  | "busy"
  | "kill"
  /** A process cannot reach the store until `mend`. */
  | "cut"
  | "sign out"
  /** The store loses its latest change. */
  | "set back"
  /** A holder shows that it is alive. */
  | "beat"

/** Events of a world. Where a backend is beside the model, the next one waits for it at each yield. */
export type Steps<A = void> = Generator<undefined, A, undefined>

export interface Choice {
  readonly name: string
  readonly fault?: Fault
  readonly run: () => void
}

/** Milliseconds. Short, so that few timers fire before a lease may be taken over. */
const timing: StoreProtocol.Timing = { lease: 100, beat: 40, patience: 0 }

const exchangeTimeout = 30_000

/** The one identity of a world. */
const identity = "one"

const policy: RenewalPolicy.RenewalPolicy = {
  renewBefore: 900_000,
  waitBefore: 60_000,
  exchangeTimeout,
  acquireTimeout: 20_000,
  coolDown: 30_000,
  fatalFor: 5_000,
  shutdownGrace: 0,
  stormLimit: 5,
  whenIdle: "on-demand",
  retry: undefined
}

/** Asks a backend about an identity. */
type Ask<A> = (backend: TokenStore.Backend, identity: string) => Effect.Effect<A, TokenError.StoreUnavailable>

interface Call {
  readonly name: string
  readonly process: Process
  /** Has the effect on a backend, and keeps its reply for {@link reply}. */
  readonly ask: Ask<unknown>
  readonly reply: () => void
  readonly fail: () => void
}

/** A call that has had its effect on the model. */
export interface Executed {
  readonly name: string
  /** Has the same effect on another backend. */
  readonly ask: Ask<unknown>
  /** The reply, and the rows before and after, of the model. */
  readonly reply: unknown
  readonly before: TokenStore.Row
  readonly after: TokenStore.Row
  readonly now: number
}

/**
 * A backend beside the model's rows. Each call has its effect there as well, and the process gets the reply of this one. The
 * next event may be taken when the callback has run.
 */
export interface Beside {
  readonly execute: (executed: Executed, then: () => void) => void
  /** Loses all that came after a row. */
  readonly setBack: (row: TokenStore.Row) => void
}

interface Request {
  readonly process: Process
  readonly kind: TokenStore.ExchangeKind
  /** The number of the refresh token that it carries. */
  readonly carries: number | undefined
  readonly execute: () => Effect.Effect<AccessToken.TokenResponse, TokenError.RenewalReason>
  readonly respond: (response: Effect.Effect<AccessToken.TokenResponse, TokenError.RenewalReason>) => void
}

interface Sleeper {
  readonly due: number
  readonly millis: number
  readonly fire: () => void
}

interface Process {
  readonly name: string
  readonly account: Exchange.Account
  readonly exchange: Exchange.Exchange
  readonly context: Context.Context<never>
  isAlive: boolean
  isCut: boolean
  left: number
  running: Fiber.Fiber<unknown, unknown> | undefined
  leaving: Fiber.Fiber<unknown, unknown> | undefined
  readonly sleepers: Array<Sleeper>
  /** All that it has heard, which decides what it does next. */
  heard: string
  outcomes: Array<string>
  /** How long this renewal has waited for the lease of another process. */
  waited: number
}

/** Rolls a text into a short one. */
const roll = (before: string, text: string): string => {
  let [a, b] = [0x811c9dc5, 0x1b873593]
  for (const char of `${before}|${text}`) {
    const code = char.codePointAt(0) ?? 0
    a = Math.imul(a ^ code, 0x01000193)
    b = Math.imul(b ^ code, 0x85ebca6b) ^ (b >>> 13)
  }
  return `${(a >>> 0).toString(36)}${(b >>> 0).toString(36)}`
}

export class World {
  readonly setup: Setup
  readonly #tasks: Array<() => void> = []
  #time = 1_000_000
  #row: TokenStore.Row = StoreRow.emptyRow
  /** The row before each change, for a store that is set back. */
  readonly #earlier: Array<TokenStore.Row> = []
  readonly #calls: Array<Call> = []
  readonly #late: Array<{ readonly name: string; readonly run: () => void }> = []
  readonly #requests: Array<Request> = []
  readonly #processes: Array<Process> = []
  #started = 0
  #issued = 0
  /** Refresh tokens that the platform would accept. */
  readonly #live = new Set<number>()
  /** The processes that sent a refresh token. */
  readonly #sent = new Map<number, ReadonlyArray<string>>()
  readonly #attempts = new Map<string, string>()
  readonly used: Partial<Record<Fault, number>> = {}
  readonly log: Array<string> = []
  readonly violations: Array<string> = []
  /** Whether {@link fingerprint} is asked for. It takes time to keep what it needs. */
  isCompared: boolean
  logins = 0
  /** Holders that were still alive when another process took over from them. */
  takeovers = 0
  /** Renewals that began in a process while it was cut off: each may end the session of the others. */
  renewalsApart = 0
  /** Kills of a process that had been granted its refresh. */
  killedSending = 0
  #signedOutAt: number | undefined
  readonly #model = this.#makeModel()
  readonly #beside: Beside | undefined

  constructor(
    setup: Setup,
    { beside, isCompared = false }: { beside?: Beside | undefined; isCompared?: boolean } = {}
  ) {
    this.setup = setup
    this.isCompared = isCompared
    this.#beside = beside
    if (!setup.login) {
      const record = this.#credential(this.#issue(""))
      const commit = { attempt: "sign-in", version: 0, next: 1, loginVersion: 1, record }
      this.#execute("commit", (backend, identity) => backend.commit(identity, commit))
      this.#earlier.length = 0
    }
    for (let index = 0; index < setup.processes; index++) this.#spawn(setup.renewals)
  }

  #credential(response: AccessToken.TokenResponse) {
    return Effect.runSync(AccessToken.fromResponse(response, { answeredAt: this.#time, elapsed: 0, generation: 1 }))
  }

  // The platform.

  #issue(subject: string): AccessToken.TokenResponse {
    const number = ++this.#issued
    this.#live.add(number)
    const tokens = {
      accessToken: Redacted.make(`a${number}`),
      refreshToken: Redacted.make(`r${number}`)
    }
    return { ...tokens, expiresIn: 864e5, extra: { subject } }
  }

  #login(subject: string) {
    this.logins += 1
    if (this.setup.supersedes) this.#live.clear()
    return Effect.succeed(this.#issue(subject))
  }

  #refresh(number: number, subject: string) {
    if (!this.#live.delete(number)) return Effect.fail(new TokenError.RefreshTokenRejected({ status: 400 }))
    return Effect.succeed(this.#issue(subject))
  }

  /** A store that was set back has lost the mark, so a process that knows nothing of it may send the token again. */
  #send(number: number, { name }: Process) {
    const senders = this.#sent.get(number) ?? []
    const mayRepeat = (this.used["set back"] ?? 0) > 0 && !senders.includes(name)
    if (senders.length > 0 && !mayRepeat)
      this.violations.push(`r${number} was sent by ${[...senders, name].join(", ")}`)
    this.#sent.set(number, [...senders, name])
  }

  /** The number of a refresh token. */
  #numberOf({ refreshToken }: AccessToken.AccessToken) {
    return Number(refreshToken && Redacted.value(refreshToken).slice(1))
  }

  // A process.

  #spawn(renewals: number) {
    const name = `p${++this.#started}`
    const sleepers: Array<Sleeper> = []
    const now = () => this.#time
    const clock: Clock.Clock = {
      currentTimeMillisUnsafe: now,
      currentTimeNanosUnsafe: () => BigInt(now()) * 1_000_000n,
      monotonicTimeNanosUnsafe: () => BigInt(now()) * 1_000_000n,
      currentTimeMillis: Effect.sync(now),
      currentTimeNanos: Effect.sync(() => BigInt(now()) * 1_000_000n),
      monotonicTimeNanos: Effect.sync(() => BigInt(now()) * 1_000_000n),
      sleep: (duration) =>
        Effect.callback<void>((resume) => {
          const millis = Number(duration.value._tag === "Millis" ? duration.value.millis : 0)
          const sleeper: Sleeper = { due: now() + millis, millis, fire: () => resume(Effect.void) }
          sleepers.push(sleeper)
          return Effect.sync(() => void sleepers.splice(sleepers.indexOf(sleeper), 1))
        })
    }
    const scheduler: Scheduler.Scheduler = {
      executionMode: "async",
      shouldYield: () => false,
      makeDispatcher: () => ({
        scheduleTask: (task) => void this.#tasks.push(task),
        flush: () => undefined
      })
    }
    const scope = Scope.makeUnsafe()
    const context = Context.empty().pipe(
      Context.add(Clock.Clock, clock),
      Context.add(Scheduler.Scheduler, scheduler),
      Context.add(Logger.CurrentLoggers, new Set()),
      Context.add(Random.Random, { nextIntUnsafe: () => 0, nextDoubleUnsafe: () => 1 }),
      Context.add(Scope.Scope, scope)
    )
    const account: Exchange.Account = {
      provider: this.#providerOf(() => process),
      identity,
      known: Exchange.nothingKnown
    }
    const store = Effect.runSyncWith(context)(
      StoreProtocol.make(
        this.#backendOf(() => process),
        timing
      )
    )
    const process: Process = {
      name,
      account,
      exchange: Exchange.make(clock, policy, store),
      context,
      isAlive: true,
      isCut: false,
      left: renewals,
      running: undefined,
      leaving: undefined,
      sleepers,
      heard: "",
      outcomes: [],
      waited: 0
    }
    this.#processes.push(process)
  }

  #providerOf(process: () => Process): TokenProvider.TokenProvider {
    const request = (
      kind: TokenStore.ExchangeKind,
      carries: number | undefined,
      execute: Request["execute"]
    ): Effect.Effect<AccessToken.TokenResponse, TokenError.RenewalReason> =>
      Effect.callback((resume) => {
        const request: Request = { process: process(), kind, carries, execute, respond: resume }
        this.#requests.push(request)
        // A request that timed out may still arrive.
        return Effect.sync(() => {
          const index = this.#requests.indexOf(request)
          if (index >= 0) this.#requests.splice(index, 1)
        })
      })
    return {
      name: "model",
      identity: Effect.succeed(identity),
      login: this.setup.login ? request("login", undefined, () => this.#login(process().name)) : undefined,
      refresh: (current) =>
        Effect.suspend(() => {
          const number = this.#numberOf(current)
          this.#send(number, process())
          return request("refresh", number, () => this.#refresh(number, process().name))
        }),
      traits: {
        renewWith: this.setup.login ? "refresh-then-login" : "refresh",
        rotatesRefreshToken: true,
        loginSupersedesRefresh: this.setup.supersedes,
        oldTokenSurvivesRefresh: true
      }
    }
  }

  #write(change: (row: TokenStore.Row) => StoreRow.Written<AccessToken.AccessToken>): boolean {
    const { granted, row } = change(this.#row)
    if (row !== this.#row) this.#earlier.push(this.#row)
    this.#row = row
    return granted
  }

  /** The store's rows, without processes that call them. */
  #makeModel(): TokenStore.Backend {
    const write = (change: (row: TokenStore.Row) => StoreRow.Written<AccessToken.AccessToken>) =>
      Effect.sync(() => this.#write(change))
    return {
      read: () => Effect.sync(() => ({ ...this.#row, now: this.#time })),
      claim: (_, claim) =>
        Effect.sync(() => {
          const holder = this.#row.lease?.attempt
          const granted = this.#write((row) => StoreRow.claim(row, claim, this.#time))
          if (granted && holder !== undefined && holder !== claim.attempt) this.takeovers += 1
          return granted
        }),
      sending: (_, sending) => write((row) => StoreRow.sending(row, sending, this.#time)),
      beat: (_, attempt) => write((row) => StoreRow.beat(row, attempt, this.#time)),
      commit: (_, commit) => write((row) => StoreRow.commit(row, commit)),
      release: (_, { attempt, unused }) => Effect.asVoid(write((row) => StoreRow.release(row, attempt, unused))),
      clear: (_, epoch) =>
        Effect.sync(() => {
          this.#write((row) => StoreRow.clear(row, epoch))
          this.#signedOutAt ??= this.logins
        })
    }
  }

  /** Has the effect of a call, on the backend beside the model as well. */
  #execute(name: string, ask: Ask<unknown>, then: (reply: unknown) => void = () => undefined) {
    const before = this.#row
    const reply = Effect.runSync(ask(this.#model, identity))
    if (this.#beside === undefined) then(reply)
    else this.#beside.execute({ name, ask, reply, before, after: this.#row, now: this.#time }, () => then(reply))
  }

  #backendOf(process: () => Process): TokenStore.Backend {
    const call = <A>(name: string, ask: Ask<A>): Effect.Effect<A, TokenError.StoreUnavailable> =>
      Effect.callback((resume) => {
        let reply: A
        const call: Call = {
          name,
          process: process(),
          ask: (backend, identity) =>
            Effect.tap(ask(backend, identity), (got) =>
              Effect.sync(() => {
                reply = got
              })
            ),
          reply: () => resume(Effect.succeed(reply)),
          fail: () => resume(Effect.fail(new TokenError.StoreUnavailable({ operation: name })))
        }
        this.#calls.push(call)
        // Only a sign of life is ever interrupted. It may still arrive, which changes nothing.
        return Effect.sync(() => {
          const index = this.#calls.indexOf(call)
          if (index >= 0) this.#calls.splice(index, 1)
        })
      })
    return {
      read: () => call("read", (backend, identity) => backend.read(identity)),
      claim: (_, claim) => {
        this.#attempts.set(claim.attempt, `${process().name}.${this.#attempts.size}`)
        return call("claim", (backend, identity) => backend.claim(identity, claim))
      },
      sending: (_, sending) => call("sending", (backend, identity) => backend.sending(identity, sending)),
      beat: (_, attempt) => call("beat", (backend, identity) => backend.beat(identity, attempt)),
      commit: (_, commit) => call("commit", (backend, identity) => backend.commit(identity, commit)),
      release: (_, release) => call("release", (backend, identity) => backend.release(identity, release)),
      clear: (_, epoch) => call("clear", (backend, identity) => backend.clear(identity, epoch))
    }
  }

  // What can happen.

  #settle() {
    for (let task = this.#tasks.shift(); task !== undefined; task = this.#tasks.shift()) task()
    for (const process of this.#processes) {
      for (const key of ["running", "leaving"] as const) {
        const exit = process[key]?.pollUnsafe()
        if (exit === undefined) continue
        process[key] = undefined
        const outcome = Exit.isSuccess(exit) ? "ok" : String(exit.cause)
        process.outcomes.push(`${key} ${outcome.slice(0, 120)}`)
        this.#note(process, () => outcome)
        this.log.push(`   ${process.name} ${key}: ${outcome.slice(0, 120)}`)
      }
    }
  }

  #note(process: Process, what: () => string) {
    if (this.isCompared) process.heard = roll(process.heard, `${what()}@${this.#time}`)
  }

  #hear(process: Process, what: () => string, act: () => void) {
    this.#note(process, what)
    act()
    this.#settle()
  }

  #answer(call: Call, how: "ok" | Fault) {
    this.#calls.splice(this.#calls.indexOf(call), 1)
    if (how === "call late")
      this.#late.push({
        name: `${call.process.name} ${call.name}`,
        run: () => this.#execute(call.name, call.ask)
      })
    const { name, process } = call
    const fail = () => this.#hear(process, () => `${name} failed`, call.fail)
    if (how === "ok") {
      this.#execute(name, call.ask, (reply) =>
        this.#hear(process, () => `${name} ${this.#canonical(reply)}`, call.reply)
      )
    } else if (how === "reply lost") this.#execute(name, call.ask, fail)
    else fail()
  }

  #respond(request: Request, how: "ok" | Fault) {
    this.#requests.splice(this.#requests.indexOf(request), 1)
    const lost =
      request.kind === "refresh"
        ? new TokenError.AmbiguousExchange({ failure: "network" })
        : new TokenError.ProviderUnavailable({ failure: "network" })
    switch (how) {
      case "ok": {
        const response = request.execute()
        return this.#hear(
          request.process,
          () => `response ${this.#issued}`,
          () => request.respond(response)
        )
      }
      case "response lost":
        void request.execute()
        return this.#hear(
          request.process,
          () => "lost",
          () => request.respond(Effect.fail(lost))
        )
      case "request late":
        this.#late.push({
          name: `${request.process.name} ${request.kind}`,
          run: () => void request.execute()
        })
        return this.#hear(
          request.process,
          () => "lost",
          () => request.respond(Effect.fail(lost))
        )
      case "not sent":
      case "busy": {
        const reason =
          how === "busy"
            ? new TokenError.ProviderUnavailable({ failure: "status", status: 503, fromPlatform: true })
            : new TokenError.ProviderUnavailable({ failure: "connect" })
        return this.#hear(
          request.process,
          () => how,
          () => {
            // The platform did nothing, so the refresh token may be sent again.
            const { carries } = request
            if (carries !== undefined) {
              this.#sent.set(
                carries,
                (this.#sent.get(carries) ?? []).filter((name) => name !== request.process.name)
              )
            }
            request.respond(Effect.fail(reason))
          }
        )
      }
      default:
        return undefined
    }
  }

  #kill(process: Process, isExecuted: boolean) {
    process.isAlive = false
    for (const call of this.#calls.filter((call) => call.process === process)) {
      this.#calls.splice(this.#calls.indexOf(call), 1)
      if (isExecuted) this.#execute(call.name, call.ask)
    }
    for (const request of this.#requests.filter((request) => request.process === process)) {
      this.#requests.splice(this.#requests.indexOf(request), 1)
      if (isExecuted) void request.execute()
    }
    if (this.#senderOf(this.#row) === process.name) this.killedSending += 1
    this.#spawn(Math.max(1, process.left))
    this.#processes.splice(this.#processes.indexOf(process), 1)
  }

  /** The process that marked the refresh token of a row as sent. */
  #senderOf({ sent }: TokenStore.Row) {
    return sent && this.#attempts.get(sent.attempt)?.split(".")[0]
  }

  #wake(process: Process, sleeper: Sleeper) {
    process.sleepers.splice(process.sleepers.indexOf(sleeper), 1)
    this.#time = Math.max(this.#time, sleeper.due)
    // Retries and background work wait longer.
    if (sleeper.millis <= timing.lease && sleeper.millis !== timing.beat) process.waited += sleeper.millis
    this.#hear(process, () => `woke ${sleeper.millis}`, sleeper.fire)
  }

  /** All that can happen next; first what happens when nothing goes wrong, which may be all that is asked for. */
  choices({ withFaults = true }: { readonly withFaults?: boolean } = {}): ReadonlyArray<Choice> {
    const choices: Array<Choice> = []
    const faults: Array<Choice> = []
    const { faults: limits, atMost } = this.setup
    const spent = Object.entries(this.used).reduce((sum, [name, count]) => sum + (name === "beat" ? 0 : count), 0)
    const fault = (name: string, fault: Fault, run: () => void) => {
      if (!withFaults || (this.used[fault] ?? 0) >= (limits[fault] ?? 0) || (spent >= atMost && fault !== "beat"))
        return
      faults.push({
        name: `${name} (${fault})`,
        fault,
        run: () => {
          this.used[fault] = (this.used[fault] ?? 0) + 1
          run()
        }
      })
    }
    for (const call of this.#calls) {
      const name = `${call.process.name} ${call.name}`
      if (call.process.isCut) {
        choices.push({ name: `${name} fails`, run: () => this.#answer(call, "call lost") })
        continue
      }
      choices.push({ name, run: () => this.#answer(call, "ok") })
      for (const how of ["reply lost", "call lost", "call late"] as const) {
        if (call.name === "read" && how !== "call lost") continue
        fault(name, how, () => this.#answer(call, how))
      }
    }
    for (const request of this.#requests) {
      const name = `${request.process.name} ${request.kind}`
      choices.push({ name, run: () => this.#respond(request, "ok") })
      for (const how of ["response lost", "request late", "not sent", "busy"] as const) {
        fault(name, how, () => this.#respond(request, how))
      }
    }
    for (const process of this.#processes) {
      const { name, sleepers } = process
      const first = (isBeat: boolean) =>
        sleepers
          .filter(({ millis }) => millis !== exchangeTimeout && (millis === timing.beat) === isBeat)
          .toSorted((one, other) => one.due - other.due)[0]
      const [timer, beat] = [first(false), first(true)]
      if (timer !== undefined) {
        choices.push({
          name: `${name} wakes after ${timer.millis}`,
          run: () => this.#wake(process, timer)
        })
      }
      if (beat !== undefined) fault(name, "beat", () => this.#wake(process, beat))
      if (process.running === undefined && process.left > 0) {
        choices.push({ name: `${name} renews`, run: () => this.#renew(process) })
      }
      if (process.isCut) {
        choices.push({
          name: `${name} is connected again`,
          run: () => {
            process.isCut = false
          }
        })
      } else {
        fault(name, "cut", () => {
          process.isCut = true
        })
      }
      if (process.running !== undefined || process.outcomes.length > 0) {
        fault(`${name}, calls executed`, "kill", () => this.#kill(process, true))
        fault(`${name}, calls lost`, "kill", () => this.#kill(process, false))
      }
      // The engine cuts its own exchange first.
      if (process.running === undefined && process.leaving === undefined) {
        fault(name, "sign out", () => {
          process.leaving = Effect.runForkWith(process.context)(process.exchange.clear(process.account))
          this.#settle()
        })
      }
    }
    for (const late of this.#late) {
      choices.push({
        name: `late: ${late.name}`,
        run: () => {
          this.#late.splice(this.#late.indexOf(late), 1)
          late.run()
        }
      })
    }
    const earlier = this.#earlier.at(-1)
    if (earlier !== undefined) {
      fault("store", "set back", () => {
        this.#row = earlier
        this.#beside?.setBack(earlier)
      })
    }
    return [...choices, ...faults]
  }

  take(choice: Choice) {
    this.log.push(`${this.#time} ${choice.name}`)
    choice.run()
  }

  #renew(process: Process) {
    process.left -= 1
    if (process.isCut) this.renewalsApart += 1
    process.waited = 0
    const once = process.exchange.renew(process.account, {
      isHolding: false,
      sending: () => undefined
    })
    // As a session does: a token for another subject is of no use, but its refresh token is that of the next exchange.
    const isOwn = ({ token }: TokenStore.Renewed) =>
      Predicate.hasProperty(token.extra, "subject") && token.extra.subject === process.name
    process.running = Effect.runForkWith(process.context)(
      Effect.uninterruptible(this.setup.subjects === true ? Effect.repeat(once, { until: isOwn, times: 20 }) : once)
    )
    this.#settle()
  }

  // What is known of it.

  #canonical(value: unknown): string {
    const attempts = this.#attempts
    return JSON.stringify(value, function (this: Readonly<Record<string, unknown>>, key, inner: unknown) {
      // A secret is redacted before it gets here.
      const own = this[key]
      return Redacted.isRedacted(own)
        ? String(Redacted.value(own))
        : typeof inner === "string"
          ? (attempts.get(inner) ?? inner)
          : inner
    })
  }

  /** Two worlds with the same fingerprint have the same future. */
  fingerprint(): string {
    const processes = this.#processes.map(
      ({ heard, isCut, left, running, sleepers }) =>
        `${heard},${isCut},${left},${running === undefined},${sleepers.map(({ due }) => due - this.#time).join(".")}`
    )
    const tokens = `${[...this.#live].join(",")};${this.#issued};${[...this.#sent].join(",")}`
    const calls = this.#calls.map(({ name, process }) => `${process.name}${name}`)
    const requests = this.#requests.map(({ kind, process }) => `${process.name}${kind}`)
    const late = this.#late.map(({ name }) => name)
    return [
      ...processes,
      this.#canonical(this.#row),
      tokens,
      calls.join(),
      requests.join(),
      late.join(),
      JSON.stringify(this.used),
      this.takeovers,
      this.renewalsApart
    ].join("\n")
  }

  /** Lets all that was begun end. Returns whether it did. Yields after each event. */
  *#quiet(): Steps<boolean> {
    for (let step = 0; step < 400; step++) {
      for (const process of this.#processes) process.isCut = false
      const choice = this.choices({ withFaults: false }).find(({ name }) => !name.endsWith("renews"))
      if (choice === undefined) return true
      this.take(choice)
      yield
    }
    return false
  }

  /**
   * Everything works again from here on. Lets all that was begun end, then renews once more everywhere. Yields after each event.
   */
  *conclude(): Steps {
    this.log.push("everything works")
    this.isCompared = false
    // Only a process that holds the credential that the store lost can bring it back.
    const isHeld = this.#processes.some((process) => this.#holdsLive(process))
    for (const process of this.#processes) process.left = 0
    if (!(yield* this.#quiet())) this.violations.push("a process never ends")
    const isSetBack = (this.used["set back"] ?? 0) > 0
    // After a store was set back, another process may have to bring the credential back first. One that has seen more renews
    // earlier: others may send a refresh token again whose mark the store has lost, and end the session.
    const bySeen = this.#processes.toSorted((one, other) => other.account.known.version - one.account.known.version)
    const rounds = isSetBack ? [...bySeen, ...bySeen] : this.#processes
    for (const [index, process] of rounds.entries()) {
      this.log.push(`${process.name} renews once more`)
      process.left = 1
      process.outcomes = []
      const mustRenew = this.#holdsLive(process)
      this.#renew(process)
      if (!(yield* this.#quiet())) this.violations.push(`${process.name} never ends`)
      if (process.running !== undefined) this.violations.push(`${process.name} hangs`)
      // Nobody is at work any more, so a lease that is there was left behind.
      if (process.waited > timing.lease) this.violations.push(`${process.name} waited for ${process.waited} ms`)
      const [outcome] = process.outcomes
      const isFirstRound = isSetBack && index < this.#processes.length && !this.setup.login
      const isLost = isSetBack && (!isHeld || [...this.#sent.values()].some(({ length }) => length > 1))
      const isExcused = !mustRenew && (isFirstRound || (isLost && !this.setup.login))
      const mayFail = this.#mayFail() || isExcused
      if (outcome !== "running ok" && !mayFail) this.violations.push(`${process.name}: ${outcome}`)
    }
    const { record, sent } = this.#row
    // A store that was set back may have lost the sign-out.
    if (this.#signedOutAt !== undefined && !this.setup.login && record !== undefined && !isSetBack) {
      this.violations.push("a session came back after a sign-out")
    }
    if (this.setup.login && record !== undefined && sent !== undefined) this.violations.push("a mark stayed")
    const causes =
      this.takeovers +
      (this.used.kill ?? 0) +
      (this.used["response lost"] ?? 0) +
      (this.used["request late"] ?? 0) +
      (this.used.cut ?? 0) +
      this.renewalsApart +
      (this.used["sign out"] ?? 0) +
      (this.used["set back"] ?? 0) +
      Math.floor(((this.used["call lost"] ?? 0) + (this.used["reply lost"] ?? 0) + (this.used["call late"] ?? 0)) / 2)
    if (this.logins > 1 + 2 * causes) this.violations.push(`${this.logins} logins for ${causes} causes`)
  }

  /** Whether a process holds a credential whose refresh token is good and may be sent, and can prove that it is the latest. */
  #holdsLive({ account: { known } }: Process) {
    const { record, sent, version } = this.#row
    if (known.token === undefined || known.isSent || !this.#live.has(this.#numberOf(known.token))) return false
    if (known.version > version) return true
    // A mark that was taken back is there again, which nobody can tell from one that counts.
    return sent === undefined && record !== undefined && this.#numberOf(record) === this.#numberOf(known.token)
  }

  /** A session without a login may end by a sign-out, a response that was lost, or a kill after its refresh was granted. */
  #mayFail() {
    if (this.setup.login) return false
    const sender = this.#senderOf(this.#row)
    // A call of a process that was killed may arrive after that.
    const isSentByKilled = sender !== undefined && !this.#processes.some(({ name }) => name === sender)
    return (
      isSentByKilled ||
      (this.used["sign out"] ?? 0) > 0 ||
      (this.used["response lost"] ?? 0) > 0 ||
      (this.used["request late"] ?? 0) > 0 ||
      this.killedSending > 0
    )
  }

  describe(): string {
    return [...this.log, "", ...this.violations].join("\n")
  }
}
