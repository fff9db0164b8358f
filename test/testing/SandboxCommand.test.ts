/**
 * `npm run sandbox`: what it prints works, and it ends when told to.
 */
import { assert, describe, it } from "@effect/vitest"
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { text } from "node:stream/consumers"

const root = join(import.meta.dirname, "..", "..")
const script = join(root, "src", "cli", "sandbox.ts")

/** Starts the command and gives what it prints first, whole, and a way to end it. */
const start = async (...args: ReadonlyArray<string>) => {
  const child = spawn(process.execPath, [script, "--port", "0", ...args], { stdio: ["ignore", "pipe", "inherit"] })
  const ended = once(child, "close")
  let greeting = ""
  for await (const chunk of child.stdout.setEncoding("utf8")) {
    greeting += String(chunk)
    if (/ node index\.ts\n/.test(greeting)) break
  }
  const interrupt = async () => {
    child.kill("SIGINT")
    const [code] = await ended
    return Number(code)
  }
  return { greeting, interrupt }
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

  it("names the platforms that there are", () => {
    const { status, stderr, stdout } = spawnSync(process.execPath, [script, "--platform", "other"], {
      encoding: "utf8"
    })
    assert.deepStrictEqual({ status, stdout }, { status: 2, stdout: "" })
    assert.match(stderr, /^npm run sandbox: .*"api\.video" \| "movingimage".*\n$/)
  })
})
