/** `npm test` and `npm run test:long`: runs one of the two suites by Vitest, and passes on all arguments but `--minutes`. */
import { printHelp, refuse } from "./commandLine.ts"

const others = "Accepts every flag of Vitest; npx vitest run --help lists them."

const scripts = {
  test: { name: "test", about: "Runs the tests that every change needs, with the same random inputs on each run." },
  long: {
    name: "test:long",
    about: "Runs the tests that take long: simulated days, large random runs, and processes that are killed."
  }
}

const [suite, ...args] = process.argv.slice(2)
const script = suite === "long" ? scripts.long : scripts.test

if (args.includes("--help")) {
  printHelp({
    name: script.name,
    about: `${script.about}\n${others}`,
    operands: { name: "[file ...]", about: "Runs only the test files whose path contains one of these." },
    flags: {
      testNamePattern: { value: "PATTERN", about: "Runs only the tests whose full name matches; -t for short." },
      minutes: { value: "N", about: "Runs files in random order and cancels what is left after N minutes." }
    }
  })
  process.exit(0)
}

const at = args.indexOf("--minutes")
if (at !== -1) {
  const [, minutes] = args.splice(at, 2)
  if (!(Number(minutes) > 0)) refuse(script, "--minutes needs a number above 0")
  process.env["TEST_MINUTES"] = minutes
}

const vitest = new URL("../node_modules/vitest/vitest.mjs", import.meta.url)
process.argv.splice(1, Infinity, vitest.pathname, "run", "--project", suite ?? "test", ...args)
try {
  await import(vitest.href)
} catch (error) {
  // What Vitest's command line parser throws.
  if (!(error instanceof Error) || error.name !== "CACError") throw error
  refuse(script, error.message.replace("Unknown option", "unknown flag").replaceAll("`", ""))
}
