/** What SECURITY.md says of the package, and that the audit of its dependencies fails when it should. */
import { assert, describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { text } from "node:stream/consumers"

const root = join(import.meta.dirname, "..")
const page = readFileSync(join(root, "SECURITY.md"), "utf8")
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))

/** The names in the first column of a table. */
const listed = (heading: string) => {
  const rows = page.split(`| ${heading} | reason |\n`)[1]?.split("\n\n")[0]?.split("\n").slice(1) ?? []
  return rows.flatMap((row) => /^\| `([^`]+)` \| .+ \|$/.exec(row)?.[1] ?? [])
}

/** Runs the audit against a registry that answers so. */
const audit = async (status: number, body: object) => {
  const registry = createServer((request, response) => {
    const isAudit = request.url?.endsWith("/security/advisories/bulk") === true
    response.writeHead(isAudit ? status : 404, { "content-type": "application/json" }).end(JSON.stringify(body))
  })
  const cache = mkdtempSync(join(tmpdir(), "effect-video-auth-audit-"))
  await new Promise<void>((resolve) => registry.listen(0, "127.0.0.1", resolve))
  try {
    const child = spawn(process.execPath, ["scripts/audit.ts"], {
      cwd: root,
      env: {
        ...process.env,
        npm_config_registry: `http://127.0.0.1:${Object(registry.address()).port}`,
        npm_config_fetch_retries: "0",
        // npm remembers advisories.
        npm_config_cache: cache
      }
    })
    const code = new Promise((resolve) => child.on("close", resolve))
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
    return { code: await code, output: stdout + stderr }
  } finally {
    registry.close()
    rmSync(cache, { recursive: true, force: true })
  }
}

const advisory = (severity: string) => [
  { id: 1, url: "https://example.com", title: "known", severity, vulnerable_versions: "*", cwe: [], cvss: { score: 1 } }
]

describe("SECURITY.md", () => {
  it("lists every dependency, and no other", () => {
    assert.sameMembers(listed("dependency"), [
      ...Object.keys(manifest.dependencies),
      ...Object.keys(manifest.peerDependencies)
    ])
    assert.sameMembers(listed("development dependency"), Object.keys(manifest.devDependencies))
  })

  it("is right that no script runs when the package is installed", () => {
    const names = ["preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare", "postprepare"]
    assert.deepStrictEqual(
      names.filter((name) => name in manifest.scripts),
      []
    )
  })

  it("is published", () => {
    assert.include(manifest.files, "SECURITY.md")
  })
})

describe.concurrent("npm run audit", () => {
  it("passes where nothing is known", async () => {
    const { code, output } = await audit(200, {})
    assert.match(output, /^what users install: 0 of severity low or above, of \d+ packages$/m)
    assert.match(output, /^all: 0 of severity high or above, of \d+ packages$/m)
    assert.strictEqual(code, 0, output)
  })

  it("fails for the least finding in what users install", async () => {
    const { code, output } = await audit(200, { oauth4webapi: advisory("low") })
    assert.match(output, /^low: oauth4webapi, /m)
    assert.strictEqual(code, 1, output)
  })

  it("fails for a high finding in what develops it, not for a lower one", async () => {
    const high = await audit(200, { vitest: advisory("high") })
    assert.match(high.output, /^high: vitest, /m)
    assert.strictEqual(high.code, 1, high.output)
    const moderate = await audit(200, { vitest: advisory("moderate") })
    assert.strictEqual(moderate.code, 0, moderate.output)
  })

  it("says that it did not happen where the registry answers no audits", async () => {
    const { code, output } = await audit(405, {})
    assert.match(output, /^!! NOT AUDITED: the audit service does not answer/m)
    assert.strictEqual(code, 0, output)
  })
})
