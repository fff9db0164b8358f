/** What `npm run docs:check` reads in documents: links, anchors, and phrases to avoid. */
import { assert, describe, it } from "@effect/vitest"
import { anchors, links, modules, prose, read } from "../../scripts/docs/markdown.ts"
import { habitsIn } from "../../scripts/docs/phrases.ts"

describe("phrases to avoid", () => {
  for (const line of [
    "A held token is served; who needs a new one logs in for itself.",
    "Who redirects has not acted.",
    "then it is told and the program starts",
    "What goes wrong says of which request it was",
    "no token to be had",
    "A VideoManager that the user has not.",
    "Of it nothing is repeated",
    "a release that mends it",
    "A platform more touches no module",
    "the last touch to a request",
    "the answer is no token response",
    "7200 s were asked for",
    "Too many requests.. Try again"
  ]) {
    it(`finds one in: ${line}`, () => assert.isNotEmpty(habitsIn(line)))
  }

  for (const line of [
    "A process that needs a new token logs in on its own.",
    "Who signs in?",
    "People who sign in",
    "The token is no longer valid.",
    "Of course not.",
    "It waits…",
    "one more request than the limit"
  ]) {
    it(`finds none in: ${line}`, () => assert.deepStrictEqual(habitsIn(line), []))
  }
})

describe("a document", () => {
  const text = [
    "# A page",
    "",
    "## When it's down",
    "[a](b.md#c) and `[not](a-link)`",
    "```sh",
    "[nor](this)",
    "# nor this",
    "```"
  ]

  it("has the anchors that GitHub gives its headings", () => {
    assert.deepStrictEqual([...anchors(text.join("\n"))], ["a-page", "when-its-down"])
    assert.deepStrictEqual([...anchors("# `get`\n# get\n")], ["get", "get-1"])
  })

  it("has links outside code", () => {
    assert.deepStrictEqual(links(text.join("\n")), [{ line: 4, target: "b.md#c" }])
    assert.deepStrictEqual(links('<img src="docs/a.svg">'), [{ line: 1, target: "docs/a.svg" }])
  })

  it("has modules of one or more fences, whose lines keep their distance", () => {
    const text = [
      "a",
      "```ts",
      "one",
      "```",
      "b",
      "```ts continued",
      "two",
      "```",
      "```sh",
      "c",
      "```",
      "```ts",
      "three"
    ]
    assert.deepStrictEqual(modules(text.join("\n")), [
      { line: 2, code: ["one", "", "", "", "two"], isClosed: true },
      { line: 12, code: ["three"], isClosed: false }
    ])
  })

  it("has prose outside code and comments", () => {
    assert.deepStrictEqual(prose("a `b` c\n```\nd\n```\n<!-- e -->f"), ["a `` c", "", "", "", "f"])
  })
})

it("the page about a platform of one's own shows all of the example", () => {
  const withoutBlanks = (lines: ReadonlyArray<string>) => lines.filter((line) => line.trim() !== "").join("\n")
  const [shown = assert.fail("the page has no fence")] = modules(read("docs/adding-a-platform.md"))
  const example = read("examples/brightcove.ts").split("\n")
  const header = example.indexOf(" */") + 1
  assert.isAbove(header, 0)
  assert.include(withoutBlanks(shown.code), withoutBlanks(example.slice(header)))
})
