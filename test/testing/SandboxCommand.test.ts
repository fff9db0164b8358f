/**
 * `npm run sandbox`: what it prints works, and it ends when told to.
 */
import { afterAll, assert, describe, it } from "@effect/vitest"
import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { text } from "node:stream/consumers"
import { promisify } from "node:util"

const root = join(import.meta.dirname, "..", "..")
const script = join(root, "src", "cli", "sandbox.ts")

const running = new Set<ChildProcess>()
// A test that failed has left its server behind.
afterAll(() => {
  for (const child of running) child.kill()
})

/** Starts the command and gives what it prints first, whole, its later lines one by one, and a way to end it. */
const start = async (...args: ReadonlyArray<string>) => {
  const child = spawn(process.execPath, [script, "--port", "0", ...args], { stdio: ["ignore", "pipe", "inherit"] })
  running.add(child)
  const ended = once(child, "close")
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const line = async () => {
    const { done, value } = await lines.next()
    return done === true ? "(end)" : String(value)
  }
  // It ends with an empty line, or is one line of JSON.
  const rest = async (before: string): Promise<string> => {
    const text = `${before}${await line()}\n`
    return /^\{.*\n|\/_sandbox\n\n|\(end\)\n$/.test(text) ? text : rest(text)
  }
  const greeting = await rest("")
  const interrupt = async () => {
    child.kill("SIGINT")
    const [code] = await ended
    return Number(code)
  }
  return { greeting, interrupt, line }
}

/** Does what the printed curl line does. */
const tried = async (greeting: string): Promise<unknown> => {
  const [, url = "", type = "", body = ""] =
    /curl -X POST (\S+) -H 'Content-Type: (\S+)' -d '(.*)'/.exec(greeting) ?? []
  const response = await fetch(url, { method: "POST", headers: { "content-type": type }, body })
  assert.strictEqual(response.status, 200, greeting)
  return response.json()
}

/** The same for the line that sends a form. */
const triedForm = async (greeting: string): Promise<unknown> => {
  const [, url = "", body = ""] = /curl -X POST (\S+) -d '(.*)'/.exec(greeting) ?? []
  const response = await fetch(url, { method: "POST", body: new URLSearchParams(body) })
  assert.strictEqual(response.status, 200, greeting)
  return response.json()
}

const lifetime = (jwt: unknown) => {
  const { exp, iat } = JSON.parse(Buffer.from(String(jwt).split(".")[1] ?? "", "base64url").toString())
  return Math.round(exp - iat)
}

const commands = [
  { name: "api.video", args: ["--ttl", "9"], token: "access_token", seconds: 9, shows: ["your_api_key"] },
  {
    name: "movingimage",
    args: ["--platform", "movingimage"],
    token: "accessToken",
    seconds: 300,
    shows: ["your_username", "your_password", "101 (Marketing), 102 (Training)"]
  }
]

describe.concurrent("npm run sandbox", () => {
  for (const { args, name, seconds, shows, token } of commands) {
    it.skipIf(process.platform === "win32")(
      `${args.join(" ")}: ${name}, tokens of ${seconds} s, until Ctrl-C`,
      async () => {
        const { greeting, interrupt } = await start(...args)
        assert.isTrue(greeting.startsWith(`${name} sandbox on http://127.0.0.1:`), greeting)
        for (const text of shows) assert.include(greeting, text)
        const answer = await tried(greeting)
        assert.strictEqual(lifetime(Object(answer)[token]), seconds)
        assert.strictEqual(await interrupt(), 0)
      }
    )
  }

  it.skipIf(process.platform === "win32")(
    "--platform movingimage: a password grant, and where to discover it",
    async () => {
      const { greeting, interrupt } = await start("--platform", "movingimage", "--ttl", "9")
      assert.strictEqual(lifetime(Object(await triedForm(greeting))["access_token"]), 9)
      const [, issuer, webfinger = ""] = /issuer (\S+)\n  webfinger (\S+)/.exec(greeting) ?? []
      const { links } = Object(await (await fetch(webfinger)).json())
      assert.strictEqual(links[0].href, `${issuer}/.well-known/openid-configuration`)
      for (const client of ["anonymous", "browser-app", "server-app", "device-app", "service-app"]) {
        assert.include(greeting, `client ${client}`)
      }
      assert.strictEqual(await interrupt(), 0)
    }
  )

  for (const { args, page, program, shows } of [
    { page: "README.md", args: [], program: (text: string) => text, shows: /\d+ videos/ },
    {
      page: "docs/movingimage.md",
      args: ["--platform", "movingimage"],
      program: (text: string) => text.replaceAll("42", "101"),
      shows: /videos/
    }
  ]) {
    it.skipIf(process.platform === "win32")(
      `the first program of ${page} runs with the variables that it prints`,
      async () => {
        const { greeting, interrupt } = await start(...args)
        const env = Object.fromEntries(
          [...greeting.matchAll(/([A-Z_]+)=(\S+)/g)].map(([, name, value]) => [name, value])
        )
        const source = /^```ts\n([^]*?)^```$/m.exec(readFileSync(join(root, page), "utf8"))?.[1] ?? ""
        const options = ["--conditions=@effect-video-auth/source", "--input-type=module-typescript"]
        const child = spawn(process.execPath, [...options, "--eval", program(source)], {
          cwd: root,
          env: { PATH: process.env["PATH"], ...env },
          stdio: ["ignore", "pipe", "inherit"]
        })
        assert.match(await text(child.stdout), shows)
        assert.strictEqual(await interrupt(), 0)
      }
    )
  }

  const curl = promisify(execFile)

  it.skipIf(process.platform === "win32")(
    "a user with curl injects a fault, sees it in the log, and clears it, from --help alone",
    async () => {
      const { greeting, interrupt, line } = await start()
      const url = /http:\S+/.exec(greeting)?.[0] ?? ""
      const help = spawnSync(process.execPath, [script, "--help"], { encoding: "utf8" }).stdout
      /** Types a command of the help, for this port, and returns what it prints. */
      const type = async (pattern: RegExp) => {
        const [command = ""] = pattern.exec(help) ?? []
        assert.notStrictEqual(command, "", help)
        assert.include(greeting, command.replace("http://127.0.0.1:8080", url), "the greeting has the same command")
        const { stdout } = await curl("sh", [
          "-c",
          command.replace("curl", "curl -sS").replaceAll("http://127.0.0.1:8080", url)
        ])
        return stdout
      }
      const get = async () => {
        const { stdout } = await curl("curl", [
          "-sS",
          "-u",
          "your_api_key:",
          "-w",
          "%{http_code}",
          "-o",
          "-",
          `${url}/videos`
        ])
        return stdout.slice(-3)
      }
      assert.strictEqual(await get(), "200")
      assert.match(await line(), /^[\d:.]+ {2}GET {5}\/videos {2}200 {2}basic {2}\d+ ms$/)
      await type(/curl .*\/_sandbox\/faults -d .*/)
      assert.match(await line(), / POST {4}\/_sandbox\/faults {2}204 /)
      assert.strictEqual(await get(), "503")
      assert.match(await line(), / GET {5}\/videos {2}503 {2}basic {2}\d+ ms {2}fault Status$/)
      await type(/curl -X DELETE .*\/_sandbox\/faults$/m)
      assert.match(await line(), / DELETE {2}\/_sandbox\/faults {2}204 /)
      assert.strictEqual(await get(), "200")
      assert.match(await line(), / GET {5}\/videos {2}200 {2}basic {2}\d+ ms$/)
      assert.include(await type(/curl .*\/_sandbox$/m), "/_sandbox/reset")
      await line()
      await type(/curl .*\/_sandbox\/seed .*/)
      assert.match(await line(), /_sandbox\/seed {2}200/)
      await type(/curl .*\/_sandbox\/tokens\/revoke$/m)
      await line()
      await type(/curl .*\/_sandbox\/reset$/m)
      assert.match(await line(), /_sandbox\/reset {2}204/)
      assert.strictEqual(await interrupt(), 0)
    }
  )

  it.skipIf(process.platform === "win32")(
    "--json prints an object for each request, with the number of the token",
    async () => {
      const { greeting, interrupt, line } = await start("--json")
      const { event, platform, url } = JSON.parse(greeting)
      assert.deepStrictEqual([event, platform], ["started", "api.video"])
      const body = JSON.stringify({ apiKey: "your_api_key" })
      const login = await fetch(`${url}/auth/api-key`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body
      })
      assert.deepInclude(JSON.parse(await line()), {
        method: "POST",
        path: "/auth/api-key",
        status: 200,
        credential: "none"
      })
      const { access_token: token } = Object(await login.json())
      await fetch(`${url}/videos?currentPage=1`, { headers: { authorization: `Bearer ${token}` } })
      const { at, duration, ...request } = JSON.parse(await line())
      assert.deepStrictEqual(request, {
        event: "request",
        method: "GET",
        path: "/videos",
        query: ["currentPage"],
        status: 200,
        credential: "bearer #1",
        fault: null
      })
      assert.strictEqual(new Date(at).toISOString(), at)
      assert.isAtLeast(duration, 0)
      assert.strictEqual(await interrupt(), 0)
    }
  )

  it.skipIf(process.platform === "win32")("--seed fills it, and --quiet prints no requests", async () => {
    const folder = mkdtempSync(join(tmpdir(), "effect-video-auth-seed-"))
    try {
      const file = join(folder, "seed.json")
      writeFileSync(file, JSON.stringify({ videos: [{ title: "Seeded" }] }))
      const { greeting, interrupt, line } = await start("--seed", file, "--quiet", "--json")
      const { url } = JSON.parse(greeting)
      const response = await fetch(`${url}/videos`, { headers: { authorization: `Basic ${btoa("your_api_key:")}` } })
      assert.strictEqual(Object(await response.json()).data[0].title, "Seeded")
      assert.strictEqual(await interrupt(), 0)
      assert.strictEqual(await line(), "(end)", "there is no other line")
      for (const [seed, says] of [
        ['{"videos":[{}]}', /^--seed: videos\[0\]: title: .*\n$/],
        ['{"videos":3}', /^npm run sandbox: .*videos.*\n$/]
      ] as const) {
        writeFileSync(file, seed)
        const { status, stderr } = spawnSync(process.execPath, [script, "--port", "0", "--seed", file], {
          encoding: "utf8"
        })
        assert.match(stderr, says)
        assert.notStrictEqual(status, 0)
      }
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it("names the platforms that there are", () => {
    const { status, stderr, stdout } = spawnSync(process.execPath, [script, "--platform", "other"], {
      encoding: "utf8"
    })
    assert.deepStrictEqual({ status, stdout }, { status: 2, stdout: "" })
    assert.match(stderr, /^npm run sandbox: .*"api\.video" \| "movingimage".*\n$/)
  })
})
