/** Prints what failed, with the command that runs it again, and a summary. What passes prints nothing. */
import { writeFileSync } from "node:fs"
import { relative } from "node:path"
import { DefaultReporter, type TestCase, type TestModule, type TestModuleState, type Vitest } from "vitest/node"

const escapeRegExp = (text: string): string => text.replaceAll(/[$()*+.?[\\\]^{|}]/g, "\\$&")
const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`

/** Returns the command that runs a test again, with everything that it drew. */
const replayCommand = (test: TestCase): string => {
  const { env = {}, name, root } = test.project.config
  const errors = test.result().errors ?? []
  const replay = errors.flatMap(({ message }) => /^Replay: (.+)$/m.exec(message)?.[1] ?? []).at(0)
  const variables = { TEST_SEED: env["TEST_SEED"], TEST_SCALE: process.env["TEST_SCALE"], TEST_REPLAY: replay }
  return [
    ...Object.entries(variables).flatMap(([name, value]) => (value === undefined ? [] : `${name}=${quote(value)}`)),
    `npx vitest run --project ${name} ${relative(root, test.module.moduleId)} -t ${quote(`^${escapeRegExp(test.fullName)}$`)}`
  ].join(" ")
}

interface Options {
  /** Cancels what is left of the run after so many minutes. Tests that have not run are no failures then. */
  readonly minutes: number | undefined
  /** The file to write the counts to, as `{"passed": 1, "failed": 0}`. */
  readonly report: string | undefined
}

export class SuiteReporter extends DefaultReporter {
  private readonly limits: Options
  private isOver = false

  constructor(options: Options) {
    super()
    this.limits = options
  }

  override onInit(vitest: Vitest): void {
    super.onInit(vitest)
    const { minutes } = this.limits
    if (minutes === undefined) return
    setTimeout(() => {
      this.isOver = true
      void vitest.cancelCurrentRun("keyboard-input")
    }, minutes * 60_000).unref()
  }

  override onTestRunEnd(...args: Parameters<DefaultReporter["onTestRunEnd"]>): void {
    super.onTestRunEnd(...args)
    const [modules, errors] = args
    const passed = modules.flatMap((module) => Array.from(module.children.allTests("passed")))
    const failed = modules.flatMap((module) => Array.from(module.children.allTests("failed")))
    const broken = modules.filter((module) => module.errors().length > 0)
    const failures = failed.length + broken.length + errors.length
    if (failed.length > 0) {
      this.log("Run a failed test again, with the same random inputs:")
      for (const test of failed.slice(0, 20)) this.log(`  ${replayCommand(test)}`)
    }
    if (this.limits.report !== undefined) {
      writeFileSync(this.limits.report, JSON.stringify({ passed: passed.length, failed: failures }))
    }
    // Vitest counts a file that was cancelled as failed.
    if (this.isOver) process.once("exit", () => (process.exitCode = failures === 0 ? 0 : 1))
  }

  protected override printTestModule(module: TestModule): void {
    if (module.state() === "failed") super.printTestModule(module)
  }

  protected override printTestCase(state: TestModuleState, test: TestCase): void {
    if (test.result().state === "failed") super.printTestCase(state, test)
  }
}
