/** Each row of the failure table in examples/fleet.md names a test, as a link to its file and a part of its name. */
import { assert, describe, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"

const root = join(import.meta.dirname, "..", "..")
const page = readFileSync(join(root, "examples/fleet.md"), "utf8")

const [, section = ""] = page.split("\n## What breaks\n")
const rows = section
  .split("\n## ")[0]!
  .split("\n")
  .filter((line) => line.startsWith("|"))
  .slice(2)
  .map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim())
  )

/** The names of tests in a source: the first argument of whatever registers one, which may be a template. */
const namesIn = (source: string) =>
  [...source.matchAll(/\b(?:it|test|describe)(?:\.\w+)*\(\s*(["`])([\s\S]*?)\1|withstands\("([^"]*)"/g)].map(
    ([, , name, other]) => name ?? other ?? ""
  )

describe("the failure table of examples/fleet.md", () => {
  it("has a row for each kind of failure", () => {
    assert.isAtLeast(rows.length, 12)
  })

  for (const [what = "", , , test = ""] of rows) {
    it(`names a test that exists: ${what}`, () => {
      const [, name = "", path = ""] = /^\[(.+)\]\(\.\.\/(test\/\S+)\)$/.exec(test) ?? []
      assert.notStrictEqual(path, "", `no link to a test: ${test}`)
      assert.isTrue(existsSync(join(root, path)), path)
      const names = namesIn(readFileSync(join(root, path), "utf8"))
      assert.isTrue(
        names.some((each) => each.includes(name)),
        `no test of ${path} is named "${name}"`
      )
    })
  }
})
