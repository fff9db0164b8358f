/** Checks the prose of documents and public docstrings for habits that make English hard to read. */
import { documents, prose, read } from "./markdown.ts"

/** What to avoid, and what to write instead. Say who does what, in the order in which it happens. */
const habits: ReadonlyArray<readonly [RegExp, string]> = [
  [/(?:^|[.;:(] |\band |\bfor )who (?!.*\?)/i, "name the actor: “a process that needs a token logs in”"],
  [
    /\b(?:is|are|was|were|be|as|they) told\b|\btold (?:to|on|of|by|with|above)\b|\btells? of\b/i,
    "say what is logged or which field has it"
  ],
  [/\b(?:says?|said) of\b/i, "say which field or message has it"],
  [/\bto be had\b/i, "available"],
  [/\bthere (?:is|was|are|were) none\b/i, "missing, or no …"],
  [/\bhas not(?= ?[.,;:)|]|$)/i, "doesn't have"],
  [/(?:^|[.;:] |\| )Of (?!course)\w+/, "begin with the subject"],
  [/\ba(?:nother)? \w+ more\b(?! than)|\bone \w+ more\b(?! than)/i, "another …"],
  [/\bmend(?:s|ed|ing)?\b/i, "fix"],
  [/\bdone without\b|\bdo without it\b/i, "continue without"],
  [/\blast touch\b/i, "say what the code does"],
  [/\bfor itself\b|\bby itself alone\b/i, "on its own"],
  [/\bgoes again\b|\bgo again\b/i, "is sent again"],
  [/\bsees? to (?:it|the)\b/i, "say what the code does"],
  [/\bat hand\b|\bin hand\b/i, "held, available"],
  [/\bwere asked for\b|\bwas asked for\b/i, "requested"],
  [/\b(?:answer|response|value|it|that|which) is no (?!longer|more\b)/i, "is not a …"],
  [/\bwants for\b|\bfor want of\b|\bbut for\b/i, "without, except"],
  [/(?<=[a-z])\.\.(?!\.)/i, "one full stop"]
]

/** The phrases to avoid in a line, with what to write instead. */
export const habitsIn = (line: string): ReadonlyArray<string> =>
  habits.flatMap(([habit, instead]) => {
    const found = habit.exec(line)?.[0].trim()
    return found === undefined ? [] : [`“${found}”: ${instead}`]
  })

const check = (place: (line: number) => string, lines: ReadonlyArray<string>): ReadonlyArray<string> =>
  lines.flatMap((line, index) => habitsIn(line).map((problem) => `${place(index + 1)}: ${problem}`))

/** The lines of the docstrings of a module, without code; every other line is empty. */
const docstrings = (text: string): ReadonlyArray<string> => {
  let inside = false
  const lines = text.split("\n").map((line) => {
    if (/^\s*\/\*\*/.test(line)) inside = true
    const shown = inside ? line.replace(/^\s*(?:\/\*\*|\*\/|\*) ?/, "").replace(/ ?\*\/\s*$/, "") : ""
    if (line.includes("*/")) inside = false
    return shown
  })
  return prose(lines.join("\n"))
}

/** `sources` are the public modules. */
export const checkPhrases = (sources: ReadonlyArray<string>): ReadonlyArray<string> => [
  ...documents.flatMap((document) => check((line) => `${document}:${line}`, prose(read(document)))),
  ...sources.flatMap((source) => check((line) => `${source}:${line}`, docstrings(read(source))))
]
