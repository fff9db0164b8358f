import { availableParallelism } from "node:os"
import { defineConfig } from "vitest/config"
import { SuiteReporter } from "./test/support/SuiteReporter.ts"

// Tests and examples import the package by its name; this condition of its exports leads to the sources.
const conditions = ["@effect-video-auth/source"]

/** Draws a new seed for each run. `TEST_SEED` replays an earlier one. */
const freshSeed = () => String(Math.floor(Math.random() * 1e9))

/** Set by `npm run test:long -- --minutes N`: runs a sample, which is another one each time. */
const minutes = process.env["TEST_MINUTES"] === undefined ? undefined : Number(process.env["TEST_MINUTES"])

/** Tests that are too slow for every change, however small they are made. */
const longTests = "test/**/*.long.test.ts"
/** Tests whose size is a multiple of `TEST_SCALE`: small in one suite, large in the other. */
const sizedTests = [
  "test/{examples,quickstart}.test.ts",
  "test/{fuzz,model,soak}/**/*.test.ts",
  "test/api-video/{keys,schemas}.test.ts",
  "test/fleet/simulation.test.ts",
  "test/moving-image/{identities,session}.test.ts",
  "test/oauth/identity.test.ts",
  "test/platform/limiter.model.test.ts"
]

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    // `test` is what every change needs: the same inputs on each run, in two minutes. `long` takes its time, and draws
    // other inputs on each run. `test/support/random.ts` reads both variables.
    projects: [
      {
        extends: true,
        test: {
          name: "test",
          include: ["test/**/*.test.ts", "examples/**/*.test.ts"],
          exclude: [longTests],
          env: {
            TEST_SEED: process.env["TEST_SEED"] ?? "effect-video-auth",
            TEST_SCALE: process.env["TEST_SCALE"] ?? "0.4"
          }
        }
      },
      {
        extends: true,
        test: {
          name: "long",
          testTimeout: 3_600_000,
          include: [longTests, ...sizedTests],
          env: { TEST_SEED: process.env["TEST_SEED"] ?? freshSeed(), TEST_SCALE: process.env["TEST_SCALE"] ?? "20" }
        }
      }
    ],
    setupFiles: ["test/support/setup.ts"],
    // Loading Effect takes most of the time of a small file. Each process loads it once, and runs many files.
    isolate: false,
    // Timeouts only end what would never end. No test is allowed to depend on the speed of the machine.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // Vitest leaves one core idle by default, and many tests wait for a server or a timer.
    maxWorkers: availableParallelism() + 2,
    sequence: { shuffle: { files: minutes !== undefined, tests: false } },
    reporters: [new SuiteReporter({ minutes, report: process.env["TEST_REPORT"] })],
    // Logs of a test are shown only if it fails.
    silent: "passed-only"
  }
})
