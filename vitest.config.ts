import { availableParallelism } from "node:os"
import { defineConfig } from "vitest/config"

// Tests and examples import the package by its name; this condition of its exports leads to the sources.
const conditions = ["@effect-video-auth/source"]

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ["test/**/*.test.ts"],
    // Only ends what would never end.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // By itself vitest leaves one core idle; and many tests wait for a server or a timer.
    maxWorkers: availableParallelism() + 1
  }
})
