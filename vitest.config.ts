import { defineConfig } from "vitest/config"

// Tests and examples import the package by its name; this condition of its exports leads to the sources.
const conditions = ["@effect-video-auth/source"]

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  // By itself vitest leaves one core idle; many tests wait for a server or a timer.
  test: { include: ["test/**/*.test.ts"], testTimeout: 20_000, maxWorkers: "100%" }
})
