/** Prints what failed, with the command that runs it again, and a summary. What passes prints nothing. */
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

export class SuiteReporter extends DefaultReporter {
  private readonly minutes: number | undefined

  /** With a limit in minutes, it cancels what is left of the run at that time. */
  constructor(minutes: number | undefined) {
    super()
    this.minutes = minutes
  }

  override onInit(vitest: Vitest): void {
    super.onInit(vitest)
    if (this.minutes === undefined) return
    setTimeout(() => void vitest.cancelCurrentRun("keyboard-input"), this.minutes * 60_000).unref()
  }

  override onTestRunEnd(...args: Parameters<DefaultReporter["onTestRunEnd"]>): void {
    super.onTestRunEnd(...args)
    const failed = args[0].flatMap((module) => Array.from(module.children.allTests("failed")))
    if (failed.length === 0) return
    this.log("Run a failed test again, with the same random inputs:")
    for (const test of failed.slice(0, 20)) this.log(`  ${replayCommand(test)}`)
  }

  protected override printTestModule(module: TestModule): void {
    if (module.state() === "failed") super.printTestModule(module)
  }

  protected override printTestCase(state: TestModuleState, test: TestCase): void {
    if (test.result().state === "failed") super.printTestCase(state, test)
  }
}
