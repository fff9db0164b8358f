import { defineConfig } from "vitest/config"

export default defineConfig({
  resolve: {
    alias: [
      { find: /^effect-video-auth\/(.*)$/, replacement: `${import.meta.dirname}/src/$1.ts` },
      { find: "effect-video-auth", replacement: `${import.meta.dirname}/src/index.ts` }
    ]
  },
  test: { include: ["test/**/*.test.ts"], testTimeout: 20_000 }
})
