/** What a signature shows is what a reader can look up. */
import { assert, describe, it } from "@effect/vitest"
import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"

const source = join(import.meta.dirname, "../../src")

/** Modules whose functions a program calls: those of the wings, and what the platforms export from inside. */
const modules = globSync("{token,store,platform,oauth,api-video,moving-image}/{*,internal/authentication}.ts", {
  cwd: source
}).toSorted()

/** How far the type at the beginning of a text reaches: to the end of the parameter. */
const endOfType = (text: string): number => {
  let depth = 0
  for (const [index, character] of Array.from(text).entries()) {
    if (depth === 0 && /[,)=]/.test(character) && !text.startsWith("=>", index)) return index
    if (/[({[<]/.test(character)) depth += 1
    if (/[)}\]]/.test(character) || (character === ">" && text[index - 1] !== "=")) depth -= 1
  }
  return text.length
}

/** How a function begins. */
const isFunction = /^export (?:(?:async )?function|const \w+ = (?:\/\* @__PURE__ \*\/ )?(?:<|\(|Effect\.fn))/

/** The types of the parameters of everything that a module publishes, up to the body of each function. */
const parameterTypes = (code: string): ReadonlyArray<string> =>
  code
    .split(/^(?=export |\/\*\*|const |type |interface )/m)
    .filter((declaration, index, all) => isFunction.test(declaration) && all[index - 1]?.includes("@since") === true)
    .map((declaration) => declaration.split(/ =>\n| =>\s*\{|^\) \{$/m)[0]!)
    .flatMap((head) =>
      Array.from(head.matchAll(/[(,]\s*(?:\w+|\{[^}]*\})\??: /g), ({ 0: found, index }) => {
        const type = head.slice(index + found.length)
        return type.slice(0, endOfType(type)).trim()
      })
    )

/** Whether a type is made in place: an object, an intersection, or a part of another. */
const isMadeInPlace = (type: string): boolean =>
  type.startsWith("{") || / & /.test(type) || /\b(?:Pick|Omit|Partial|Parameters|ConstructorParameters)</.test(type)

describe("the options of every function have a name", () => {
  for (const made of [
    "export const make = (options: Options<R> & { readonly x: Foo<R> } = {}) => 1\n",
    'export const make = <R>(\n  options: Pick<Options<R>, "a">\n): void => {}\n',
    "export const make = ({ a, ...rest }: { readonly a: 1 }) =>\n  1\n",
    'export const stream = (query: Omit<Query, "page"> = {}): Stream<A> =>\n  1\n',
    "export async function make(name: string, options: { readonly a: 1 }) {\n}\n"
  ]) {
    it(`finds one without: ${made.trim()}`, () => {
      const types = parameterTypes(`/** @since 0.1.0 */\n${made}`)
      assert.isTrue(types.some(isMadeInPlace), String(types))
    })
  }

  for (const module of modules) {
    const types = parameterTypes(readFileSync(join(source, module), "utf8"))
    if (types.length === 0) continue
    it(module, () => assert.deepStrictEqual(types.filter(isMadeInPlace), []))
  }
})
