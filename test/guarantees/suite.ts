/** The ten guarantees are one suite: each is a function over a platform, and is shown on every platform it concerns. */
import { describe } from "@effect/vitest"
import { on } from "./engine.ts"
import type { Platform } from "./platforms.ts"

/** A platform, and what makes services on it. */
export interface Suite extends ReturnType<typeof on> {
  readonly platform: Platform
}

/** Shows a guarantee on each of the platforms: all that there are, or those with the trait that it is about. */
export const guarantee = (name: string, platforms: ReadonlyArray<Platform>, tests: (suite: Suite) => void): void => {
  for (const platform of platforms) describe(`${name} (${platform.name})`, () => tests({ platform, ...on(platform) }))
}
