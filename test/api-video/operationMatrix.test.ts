/** `operations.json` lists every operation of api.video: it agrees with the source, the tests and the OpenAPI file. */
import { assert, describe, it } from "@effect/vitest"
import * as ApiVideoModules from "effect-video-auth/api-video"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { matrix, routes } from "./routes.ts"

const root = join(import.meta.dirname, "..", "..")

const { operations } = matrix
const sorted = <A>(items: Iterable<A>) => [...items].toSorted()

/** The two operations of authentication return tokens, and have no routes. */
const typed = operations.filter(({ function: name }) => !name.startsWith("ApiVideo."))

/** Functions that make no request, or several. */
const beyondOperations = [
  "Videos.statuses",
  "Videos.waitUntilPlayable",
  "Webhooks.decodeEvent",
  "Webhooks.handler",
  "Webhooks.verify"
]

describe("the route matrix", () => {
  it("has all 59 operations, each once", () => {
    assert.strictEqual(operations.length, 59)
    assert.strictEqual(new Set(operations.map(({ id }) => id)).size, 59)
    assert.strictEqual(new Set(operations.map(({ function: name }) => name)).size, 59)
  })

  it("has the routes of the source", () => {
    assert.deepStrictEqual(
      sorted(routes.map(({ method, name, path }) => `${method} ${path} ${name}`)),
      sorted(
        typed.map(({ function: name, method, path }) => `${method} ${path.replaceAll(/\{(\w+)\}/g, ":$1")} ${name}`)
      )
    )
  })

  it("has the functions of the modules, and their streams", () => {
    const modules: Readonly<Record<string, object>> = ApiVideoModules
    const exported = sorted(
      [...new Set(typed.map(({ function: name }) => name.split(".")[0] ?? ""))].flatMap((module) =>
        Object.entries(modules[module] ?? {})
          .filter(([, value]) => typeof value === "function")
          .map(([name]) => `${module}.${name}`)
      )
    )
    const streams = typed
      .filter(({ paginated }) => paginated)
      .map(({ function: name }) => name.replace(/\.(?:list|get)/, ".stream"))
    assert.strictEqual(streams.length, 13)
    assert.deepStrictEqual(
      exported,
      sorted([...typed.map(({ function: name }) => name), ...streams, ...beyondOperations])
    )
    for (const name of ["authenticate", "refresh"]) assert.property(ApiVideoModules.ApiVideo, name)
  })

  for (const { function: name, tests } of operations) {
    it(`names tests that call ${name}`, () => {
      assert.isNotEmpty(tests)
      for (const file of tests) assert.include(readFileSync(join(root, file), "utf8"), name)
    })
  }

  it("lists what is left out, with the reason", () => {
    assert.deepStrictEqual(
      matrix.leftOut.map(({ api, routes }) => [api, new Set(routes).size]),
      [
        ["api.video admin API", 13],
        ["movingimage VideoManager Pro", 99]
      ]
    )
    for (const { reason } of matrix.leftOut) assert.isNotEmpty(reason)
  })
})

// The OpenAPI file is not part of the repository.
const openApi = process.env["APIVIDEO_OPENAPI"] ?? join(root, "..", "shared", "reference", "api-video-openapi.yaml")

describe.skipIf(!existsSync(openApi))("the route matrix and the OpenAPI file", () => {
  /** `METHOD /path operationId`, by the indentation of the file. */
  const documented = () => {
    const found: Array<string> = []
    let path: string | undefined
    let method: string | undefined
    let isPaths = false
    for (const line of readFileSync(openApi, "utf8").split("\n")) {
      if (/^\S/.test(line)) isPaths = line.startsWith("paths:")
      if (!isPaths) continue
      path = /^ {2}'?"?(\/[^'":]*)'?"?:/.exec(line)?.[1] ?? path
      method = /^ {4}(get|put|post|delete|patch):/.exec(line)?.[1]?.toUpperCase() ?? method
      const id = /^ {6}operationId: (\S+)/.exec(line)?.[1]
      if (id !== undefined) found.push(`${method} ${path} ${id}`)
    }
    return found
  }

  it("have the same operations", () => {
    assert.deepStrictEqual(
      sorted(operations.map(({ id, method, path }) => `${method} ${path} ${id}`)),
      sorted(documented())
    )
  })
})
