/** Runs the specs that the documents show, each in a module of its own, the way a reader would paste it. */
import { assert, describe, it } from "@effect/vitest"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll } from "vitest"
import { documents, modules, read, root } from "../../scripts/docs/markdown.ts"

// Inside the repository, so that imports of the package lead to its sources.
const parent = join(root, ".docs-check")
mkdirSync(parent, { recursive: true })
const folder = mkdtempSync(join(parent, "specs-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const specs = documents.flatMap((file) =>
  modules(read(file)).flatMap(({ code, line }) =>
    code.some((text) => text.includes('from "@effect/vitest"'))
      ? [{ name: `${file}:${line}`, code: code.join("\n") }]
      : []
  )
)

for (const { code, name } of specs) {
  describe(name, async () => {
    const module = join(folder, `${name.replaceAll(/[/:]/g, "_")}.ts`)
    writeFileSync(module, code)
    await import(/* @vite-ignore */ module)
  })
}

it("there are specs in the documents", () => assert.isAbove(specs.length, 4))
