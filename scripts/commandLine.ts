/**
 * Reads the command line of a script, the same way for all of them: `--help` prints what the script does, and an argument
 * that the script doesn't have ends it with one line and status 2.
 */
import { parseArgs } from "node:util"

interface Flag {
  /** The name of its value. A flag without one is on or off. */
  readonly value?: string
  readonly about: string
}

interface Script<Name extends string> {
  /** What follows `npm run`. */
  readonly name: string
  readonly about: string
  readonly flags?: Readonly<Record<Name, Flag>>
  /** Arguments without a flag. A script without them refuses any. */
  readonly operands?: { readonly name: string; readonly about: string }
}

interface Given<Name extends string> {
  readonly has: (flag: Name) => boolean
  readonly valueOf: (flag: Name) => string | undefined
  readonly operands: ReadonlyArray<string>
}

const help: Flag = { about: "Prints this and ends." }

/** Prints what a script does and which arguments it takes. */
export const printHelp = ({ about, flags, name, operands }: Script<string>): void => {
  const rows = [
    ...(operands === undefined ? [] : [[operands.name, operands.about] as const]),
    ...Object.entries({ ...flags, help }).map(
      ([flag, { about, value }]) => [value === undefined ? `--${flag}` : `--${flag} ${value}`, about] as const
    )
  ]
  const width = Math.max(...rows.map(([left]) => left.length))
  const usage = ["npm run", name, "--", "[flags]", ...(operands === undefined ? [] : [operands.name])].join(" ")
  console.log([usage, "", about, "", ...rows.map(([left, about]) => `  ${left.padEnd(width)}  ${about}`)].join("\n"))
}

/** Ends the script with one line, because its arguments make no sense. */
export const refuse = (script: { readonly name: string }, problem: string): never => {
  console.error(`npm run ${script.name}: ${problem}. See npm run ${script.name} -- --help`)
  process.exit(2)
}

/** Returns the arguments that were given. Prints the help and ends the script if that was asked for. */
export const commandLine = <Name extends string = never>(script: Script<Name>): Given<Name> => {
  const flags = new Map<string, Flag>(Object.entries<Flag>({ ...script.flags, help }))
  const { tokens } = parseArgs({
    strict: false,
    tokens: true,
    options: Object.fromEntries(
      [...flags].map(([name, { value }]) => [name, { type: value === undefined ? "boolean" : "string" }])
    )
  })
  const given = new Map<string, string | undefined>()
  const operands: Array<string> = []
  for (const token of tokens) {
    if (token.kind === "option-terminator") continue
    if (token.kind === "positional") {
      if (script.operands === undefined) refuse(script, `unknown argument ${token.value}`)
      operands.push(token.value)
      continue
    }
    const flag = flags.get(token.name)
    if (flag === undefined) return refuse(script, `unknown flag ${token.rawName}`)
    const isMissing = token.value === undefined || token.value === "" || token.value.startsWith("--")
    if (flag.value !== undefined && isMissing) refuse(script, `${token.rawName} needs a value`)
    if (flag.value === undefined && token.value !== undefined) refuse(script, `${token.rawName} takes no value`)
    given.set(token.name, token.value)
  }
  if (given.has("help")) {
    printHelp(script)
    process.exit(0)
  }
  return { has: (flag) => given.has(flag), valueOf: (flag) => given.get(flag), operands }
}
