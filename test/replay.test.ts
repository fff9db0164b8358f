/** A failed random test prints the command that runs it again with the same inputs. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Random, Schema } from "effect"
import { exec } from "node:child_process"
import { join, relative } from "node:path"
import { checks, seed } from "./support/random.ts"

const root = join(import.meta.dirname, "..")
const self = relative(root, import.meta.filename)
const isInner = process.env["REPLAYED"] === "1"

/** Runs a command in which the tests of this file fail, and gives its output. */
const fails = (command: string) =>
  new Promise<string>((resolve, reject) =>
    exec(command, { cwd: root, env: { ...process.env, REPLAYED: "1", NO_COLOR: "1" } }, (error, stdout, stderr) =>
      error === null ? reject(new Error("it passes")) : resolve(stdout + stderr)
    )
  )

const whatFails = () => {
  it.effect.prop(
    "a property of it's (own), with options",
    { text: Schema.Array(Schema.Int) },
    ({ text }) => Effect.sync(() => text.length < 5),
    checks(200)
  )

  it.effect.prop("a property without options", { text: Schema.Array(Schema.Int) }, ({ text }) =>
    Effect.sync(() => text.length < 5)
  )

  it.effect("a test that draws from the seed", () =>
    Effect.flatMap(Random.nextIntBetween(0, 1e9), (number) => Effect.die(`drew ${number}`)).pipe(Random.withSeed(seed))
  )
}

const whatIsPrinted = () => {
  it("prints a command that fails in the same way", async () => {
    const first = await fails(`npx vitest run --project test ${self}`)
    const commands = first.split("\n").flatMap((line) => /^ {2}(TEST_SEED=.*)$/.exec(line)?.[1] ?? [])
    assert.strictEqual(commands.length, 3, first)
    const again = await Promise.all(commands.map(fails))
    for (const output of again) {
      assert.match(output, / 1 failed /)
      const [found] = output.match(/(?<=Shrunk input: ).*|drew \d+/) ?? []
      assert.isDefined(found, output)
      assert.include(first, found)
    }
  })
}

if (isInner) describe("what fails", whatFails)
else describe("a failed test", whatIsPrinted)
