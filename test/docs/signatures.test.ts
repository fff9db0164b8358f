/** What a signature shows is what a reader can look up. */
import { assert, describe, it } from "@effect/vitest"
import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"

const source = join(import.meta.dirname, "../../src")

/** Modules whose functions a program calls: those of the wings, and what the platforms export from inside. */
const modules = globSync("{token,store,platform,oauth,api-video,moving-image}/{*,internal/authentication}.ts", {
  cwd: source
}).toSorted()

/** The types of the parameters `options` and `payload` of everything that a module exports. */
const optionTypes = (code: string): ReadonlyArray<string> =>
  code
    .split(/^(?=export |\/\*\*|const |type |interface )/m)
    .filter((declaration) => /^export (const|function)/.test(declaration))
    .flatMap((declaration) =>
      Array.from(declaration.matchAll(/\b(?:options|payload)\??: ([^]*?)(?= = |,?\n? *\)|,\n)/g), ([, type]) => type!)
    )

describe("the options of every function have a name", () => {
  it("finds one that has none", () => {
    assert.deepStrictEqual(optionTypes("export const make = (options: Options & { readonly a: 1 } = {}) => 1\n"), [
      "Options & { readonly a: 1 }"
    ])
    assert.deepStrictEqual(optionTypes('export const make = <R>(\n  options: Pick<Options<R>, "a">\n): void => {}\n'), [
      'Pick<Options<R>, "a">'
    ])
  })

  for (const module of modules) {
    const types = optionTypes(readFileSync(join(source, module), "utf8"))
    if (types.length === 0) continue
    it(module, () => {
      for (const type of types) {
        assert.notMatch(type, /\b(Pick|Omit|Parameters)</)
        assert.notMatch(type.replace(/<.*>/s, ""), /[&{]/)
      }
    })
  }
})
