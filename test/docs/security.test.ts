/** The table about RFC 9700 names tests that exist. */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { join } from "node:path"

const root = join(import.meta.dirname, "..", "..")
const page = readFileSync(join(root, "docs", "security.md"), "utf8")

/** The rows of the table: what is recommended, what is done, and the tests that show it. */
const rows = [...page.matchAll(/^\| (§?\d\S* ?.*?) \| (.+?) \| (.+?) \| (.+) \|$/gm)].map(
  ([, section, what, here, shown]) => ({
    section: section ?? "",
    what: what ?? "",
    here: here ?? "",
    shown: [...(shown ?? "").matchAll(/\[(.+?)\]\(\S+\/blob\/main\/(test\/\S+\.test\.ts)\)/g)].map(
      ([, name, file]) => ({
        name: name ?? "",
        file: file ?? ""
      })
    )
  })
)

describe("the table about RFC 9700", () => {
  it("has a row for each recommendation", () => {
    assert.isAbove(rows.length, 14)
  })

  for (const { here, shown, what } of rows) {
    it(`${what}: the tests that show it exist`, () => {
      if (here.startsWith("followed") || here.startsWith("offered")) assert.isNotEmpty(shown)
      for (const { file, name } of shown) {
        assert.include(readFileSync(join(root, file), "utf8"), name, `${file} has no test of that name`)
      }
    })
  }
})
