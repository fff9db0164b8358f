/**
 * `npm run package:check`: what npm would publish, tried as a stranger would. Packs the tarball (which builds it), lints it,
 * pins its files, installs it into an empty project beside `effect` and `@effect/platform-node`, type-checks every export there
 * under TypeScript 5.9 and 7, imports them, and runs the README's first program. Needs the npm registry and nothing else.
 */
import { spawnSync } from "node:child_process"
import { copyFileSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, dirname, join, normalize, posix } from "node:path"
import { commandLine } from "./commandLine.ts"

commandLine({
  name: "package:check",
  about: `Packs the tarball that npm would publish, lints it, installs it into an empty project, type-checks every export
there, and runs the README's first program. Needs the npm registry.`
})

const root = join(import.meta.dirname, "..")
const folder = mkdtempSync(join(tmpdir(), "effect-video-auth-package-"))
process.on("exit", () => rmSync(folder, { recursive: true, force: true }))
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(1))

/** The oldest TypeScript that is promised to work; the newest is the one this repository builds with. */
const oldestTypeScript = "5.9.3"
/** What these entries need beside `effect`; no other entry may need anything. */
const optionalPeers: Readonly<Record<string, string>> = {
  "./testing/ApiVideoSandbox": "@effect/platform-node",
  "./testing/MovingImageSandbox": "@effect/platform-node",
  "./testing/SandboxServer": "@effect/platform-node"
}

const problems: Array<string> = []
let since = performance.now()
const done = (what: string) => {
  const now = performance.now()
  console.log(`${((now - since) / 1000).toFixed(1).padStart(5)} s  ${what}`)
  since = now
}
const finish = (): never => {
  for (const problem of problems) console.error(`\n${problem}`)
  console.log(`${problems.length} problems`)
  process.exit(problems.length === 0 ? 0 : 1)
}
/** Nothing after this can be checked. */
const stop = (problem: string): never => {
  problems.push(problem)
  return finish()
}
const expectSame = (what: string, actual: Iterable<string>, expected: Iterable<string>) => {
  const [is, should] = [new Set(actual), new Set(expected)]
  for (const name of is) if (!should.has(name)) problems.push(`${what}: ${name} should not be there`)
  for (const name of should) if (!is.has(name)) problems.push(`${what}: ${name} is missing`)
}

// `npm run` tells a script's npm which project it belongs to; the empty project is another one.
const env = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^npm_(?:package|lifecycle|command|config_local_prefix)/.test(name))
)
const run = (cwd: string, command: string, ...args: ReadonlyArray<string>) => {
  const { error, status, stderr, stdout } = spawnSync(command, args, {
    cwd,
    env,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
    // Commands but node are scripts on Windows.
    shell: process.platform === "win32" && command !== process.execPath
  })
  return {
    ok: status === 0,
    stdout,
    output: `$ ${basename(command)} ${args.join(" ")}\n${stdout}${stderr}${error ?? ""}`
  }
}
const check = (what: string, result: ReturnType<typeof run>) => {
  if (!result.ok) problems.push(`${what}:\n${result.output.trim()}`)
  done(what)
}
const bin = (name: string) => join(root, "node_modules", ".bin", name)
const json = (...path: ReadonlyArray<string>) => JSON.parse(readFileSync(join(...path), "utf8"))

// The tarball.

const packed = run(root, "npm", "pack", "--json", "--pack-destination", folder)
if (!packed.ok) stop(packed.output)
// The build's own lines come before npm's JSON. Newer versions of npm give a record by name, older ones an array.
const report = Object.values(JSON.parse(packed.stdout.slice(packed.stdout.search(/^[[{]/m))))[0] as {
  readonly filename: string
  readonly files: ReadonlyArray<{ readonly path: string }>
}
const tarball = join(folder, report.filename)
const files = new Set(report.files.map(({ path }) => path))
done(`packed ${report.filename}: ${files.size} files`)

const modules = globSync("src/**/*.ts", { cwd: root })
  .map((file) => file.replaceAll("\\", "/").slice("src/".length, -".ts".length))
  .filter((name) => !name.startsWith("cli/"))
expectSame("tarball", files, [
  "AGENTS.md",
  "CHANGELOG.md",
  "LICENSE",
  "README.md",
  "SECURITY.md",
  "package.json",
  ...globSync("docs/*.{md,svg}", { cwd: root }).map((file) => file.replaceAll("\\", "/")),
  ...modules.map((name) => `src/${name}.ts`),
  ...modules.flatMap((name) => ["js", "js.map", "d.ts", "d.ts.map"].map((end) => `dist/${name}.${end}`))
])
// Nobody outside the package imports what its wings keep to themselves or share with each other.
const isClosed = (name: string) => /\/(internal|shared)\//.test(name)
const entries = [
  ".",
  ...modules.filter((name) => name !== "index" && !isClosed(name)).map((name) => `./${name.replace(/\/index$/, "")}`)
]
const specifier = (entry: string) => posix.join("effect-video-auth", entry)

// What npm would refuse to publish, or would correct on its own. That nobody is logged in here is its only right warning.
const published = run(folder, "npm", "publish", tarball, "--dry-run")
const corrections = published.output
  .split("\n")
  .filter((line) => /^npm warn publish (?!This command requires you)/.test(line))
for (const correction of corrections) problems.push(`npm publish: ${correction}`)
check("npm publish --dry-run", published)
check("publint --strict", run(root, bin("publint"), "run", tarball, "--strict"))
// Explicit entries, because attw skips those behind a wildcard.
check("attw", run(root, bin("attw"), tarball, "--profile", "esm-only", "--entrypoints", ...entries))

// The empty project.

const versionOf = (name: string): string => json(root, "node_modules", name, "package.json").version
const project = join(folder, "project")
mkdirSync(project)
writeFileSync(join(project, "package.json"), JSON.stringify({ name: "stranger", private: true, type: "module" }))
const installed = run(
  project,
  "npm",
  "install",
  "--save-exact",
  "--prefer-offline",
  "--no-audit",
  "--no-fund",
  "--ignore-scripts",
  tarball,
  ...["effect", "@effect/platform-node", "@types/node"].map((name) => `${name}@${versionOf(name)}`),
  `typescript@${versionOf("typescript")}`,
  `typescript-oldest@npm:typescript@${oldestTypeScript}`
)
if (!installed.ok) stop(installed.output)
const home = join(project, "node_modules", "effect-video-auth")
done("installed beside effect")

// An editor's "go to definition" arrives in a file that was shipped.
for (const file of globSync("dist/**/*.map", { cwd: home })) {
  const { sources, sourcesContent } = json(home, file) as { readonly sources: Array<string>; sourcesContent?: unknown }
  for (const source of sources) {
    const path = normalize(join(dirname(file), source)).replaceAll("\\", "/")
    if (!files.has(path) && sourcesContent === undefined) problems.push(`${file} maps to ${path}, which is not shipped`)
  }
}

// Every export of every entry has a type, and it is not `any`.
const untyped = entries.map(
  (entry, index) => `
import * as Entry${index} from ${JSON.stringify(specifier(entry))}
const entry${index}: [Any<typeof Entry${index}>] extends [never] ? true : Any<typeof Entry${index}> = true
void entry${index}`
)
writeFileSync(
  join(project, "entries.ts"),
  `type Any<T> = { [K in keyof T]: 0 extends 1 & T[K] ? K : never }[keyof T]\n${untyped.join("\n")}\n`
)
for (const file of ["consumer.ts", "declared.ts", "editor.js", "operations.ts", "readme.ts"])
  copyFileSync(join(root, "test", "package", file), join(project, file))

// The README's first program, to the letter. A variable leads it to the sandbox.
const program = /^```ts\n([\s\S]*?)^```$/m.exec(readFileSync(join(root, "README.md"), "utf8"))?.[1]
writeFileSync(join(project, "program.ts"), program ?? stop("README.md has no program"))

// `skipLibCheck` off: our declarations are checked too, and so are Effect's.
const tsconfig = {
  compilerOptions: {
    target: "ES2023",
    lib: ["ES2023", "DOM", "DOM.Iterable", "DOM.AsyncIterable"],
    module: "NodeNext",
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
    noEmit: true,
    types: ["node"]
  },
  files: ["entries.ts", "consumer.ts", "operations.ts", "readme.ts", "program.ts"]
}
writeFileSync(join(project, "tsconfig.json"), JSON.stringify(tsconfig))
const typeScripts = [
  ["typescript-oldest", oldestTypeScript],
  ["typescript", versionOf("typescript")]
] as const
for (const [name, version] of typeScripts) {
  const tsc = join(project, "node_modules", name, "bin", "tsc")
  check(`types under TypeScript ${version}`, run(project, process.execPath, tsc, "-p", "tsconfig.json"))
}
// The declarations of a library that builds on this one name only what is published.
const declaring = {
  ...tsconfig.compilerOptions,
  noEmit: false,
  declaration: true,
  emitDeclarationOnly: true,
  outDir: "declared"
}
writeFileSync(join(project, "declared.json"), JSON.stringify({ compilerOptions: declaring, files: ["declared.ts"] }))
for (const [name, version] of typeScripts) {
  const tsc = join(project, "node_modules", name, "bin", "tsc")
  check(`declarations by TypeScript ${version}`, run(project, process.execPath, tsc, "-p", "declared.json"))
  const declared = readFileSync(join(project, "declared/declared.d.ts"), "utf8")
  for (const [, module] of declared.matchAll(/"(effect-video-auth[^"]*\/(?:internal|shared)\/[^"]*)"/g))
    problems.push(`TypeScript ${version} declares a layer with ${module}, which is not published`)
}

// Errors are short and name what is wrong. Each line below a `@ts-expect-error` has one, which contains what that comment says.
const operations = readFileSync(join(project, "operations.ts"), "utf8").split("\n")
writeFileSync(join(project, "mistakes.ts"), operations.join("\n").replaceAll("@ts-expect-error", "expected:"))
writeFileSync(join(project, "mistakes.json"), JSON.stringify({ ...tsconfig, files: ["mistakes.ts"] }))
for (const [name, version] of typeScripts) {
  const tsc = join(project, "node_modules", name, "bin", "tsc")
  const { output } = run(project, process.execPath, tsc, "-p", "mistakes.json", "--pretty", "false")
  const errors = new Map(
    Array.from(output.matchAll(/^mistakes\.ts\((\d+),\d+\): error TS\d+: (.*)$/gm), ([, line, text]) => [
      Number(line),
      text
    ])
  )
  for (const [index, line] of operations.entries()) {
    const expected = /^\s*\/\/ @ts-expect-error (.*)$/.exec(operations[index - 1] ?? "")?.[1]
    const error = errors.get(index + 1)
    if (expected === undefined ? error !== undefined : !error?.includes(expected) || error.length > 250)
      problems.push(`TypeScript ${version} says of \`${line.trim()}\`: ${error}`)
  }
  done(`errors under TypeScript ${version}: ${errors.size}`)
}
// In TypeScript 7 editors talk to another language service, which has no API to ask.
const shown = run(project, process.execPath, "editor.js", "typescript-oldest", "operations.ts")
if (!shown.ok) stop(shown.output)
problems.push(...JSON.parse(shown.stdout))
done(`hovers under TypeScript ${oldestTypeScript}`)

check("the README's first program", run(project, process.execPath, "readme.ts"))

// Every entry can be imported, what is closed does not resolve, and without the optional peers the rest still can.
writeFileSync(
  join(project, "imports.js"),
  `const [how, ...names] = process.argv.slice(2)
const attempt = { import: (name) => import(name), resolve: async (name) => import.meta.resolve(name) }[how]
const outcome = (name) => attempt(name).then(() => "ok", (error) => error.code + " " + error.message)
console.log(JSON.stringify(await Promise.all(names.map(outcome))))
`
)
const outcomes = (how: "import" | "resolve", names: ReadonlyArray<string>): ReadonlyArray<string> => {
  const result = run(project, process.execPath, "imports.js", how, ...names.map(specifier))
  return result.ok ? JSON.parse(result.stdout) : stop(result.output)
}
for (const [index, outcome] of outcomes("import", entries).entries()) {
  if (outcome !== "ok") problems.push(`${entries[index]} cannot be imported: ${outcome}`)
}
const closed = [
  ...modules.filter((name) => name.endsWith("index") || isClosed(name)),
  "cli/sandbox",
  "ApiVideo",
  "TokenService"
].map((name) => `./${name}`)
for (const [index, outcome] of outcomes("resolve", closed).entries()) {
  if (!outcome.startsWith("ERR_PACKAGE_PATH_NOT_EXPORTED")) problems.push(`${closed[index]} is not closed: ${outcome}`)
}
for (const peer of new Set(Object.values(optionalPeers)))
  rmSync(join(project, "node_modules", peer), { recursive: true })
for (const [index, outcome] of outcomes("import", entries).entries()) {
  const peer = optionalPeers[entries[index]!]
  const fine = peer === undefined ? outcome === "ok" : outcome.includes(peer)
  if (!fine) problems.push(`${entries[index]} without the optional peers: ${outcome}`)
}
done(`imported ${entries.length} entries, ${closed.length} closed ones refused; again without the optional peers`)

finish()
