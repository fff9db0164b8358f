/**
 * Run in the empty project of `npm run package:check`: compares what an editor shows with the comments `hover` of a file,
 * under the TypeScript that is given. Prints JSON: what differs.
 */
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { join } from "node:path"

const [typescript, file] = process.argv.slice(2)
const ts = createRequire(import.meta.url)(typescript)
const path = join(import.meta.dirname, file)
const { config } = ts.readConfigFile(join(import.meta.dirname, "tsconfig.json"), ts.sys.readFile)
const { options } = ts.parseJsonConfigFileContent({ ...config, files: [file] }, ts.sys, import.meta.dirname)
const service = ts.createLanguageService({
  getCompilationSettings: () => options,
  getCurrentDirectory: () => import.meta.dirname,
  getDefaultLibFileName: ts.getDefaultLibFilePath,
  getScriptFileNames: () => [path],
  getScriptVersion: () => "1",
  getScriptSnapshot: (name) => {
    const text = ts.sys.readFile(name)
    return text === undefined ? undefined : ts.ScriptSnapshot.fromString(text)
  },
  fileExists: ts.sys.fileExists,
  readFile: ts.sys.readFile,
  directoryExists: ts.sys.directoryExists,
  getDirectories: ts.sys.getDirectories,
  realpath: ts.sys.realpath
})

const lines = readFileSync(path, "utf8").split("\n")
const wrong = []
let offset = 0
for (const [index, line] of lines.entries()) {
  const expected = /^\s*\/\/ hover: (.*)$/.exec(lines[index - 1] ?? "")?.[1]
  if (expected !== undefined) {
    const name = /^\s*(?:export )?const (?:\{ )?/.exec(line)[0].length
    const info = service.getQuickInfoAtPosition(path, offset + name)
    const shown = ts.displayPartsToString(info?.displayParts).replaceAll(/\s+/g, " ")
    if (shown !== expected) wrong.push(`${file}:${index + 1} shows ${shown} and not ${expected}`)
  }
  offset += line.length + 1
}
console.log(JSON.stringify(wrong))
