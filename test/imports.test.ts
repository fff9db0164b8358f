/** The lint rules of `.oxlintrc.json` that keep imports between the wings of `src/` one-way and free of cycles. */
import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const root = join(import.meta.dirname, "..")

/** Lints a copy of the source with one more module in it. */
const lintWith = (module: string, code: string) => {
  const folder = mkdtempSync(join(tmpdir(), "effect-video-auth-imports-"))
  try {
    cpSync(join(root, "src"), join(folder, "src"), { recursive: true })
    cpSync(join(root, ".oxlintrc.json"), join(folder, ".oxlintrc.json"))
    writeFileSync(join(folder, module), code)
    const oxlint = join(root, "node_modules", "oxlint", "bin", "oxlint")
    const { status, stderr, stdout } = spawnSync(process.execPath, [oxlint, "--deny-warnings"], {
      cwd: folder,
      encoding: "utf8"
    })
    return { status, output: stdout + stderr }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const planted: ReadonlyArray<readonly [what: string, module: string, code: string, complaint: string]> = [
  [
    "an import from a higher wing",
    "src/token/planted.ts",
    'export { originOf } from "../platform/shared/origin.ts"\n',
    "Imports run from token downwards only"
  ],
  [
    "a type from a higher wing",
    "src/platform/planted.ts",
    'import type { Claims } from "../oauth/OAuth2.ts"\nexport type Planted = Claims\n',
    "Imports run from platform downwards only"
  ],
  [
    "one platform in the other",
    "src/api-video/planted.ts",
    'export { layer } from "../moving-image/MovingImage.ts"\n',
    "Imports run from api-video downwards only"
  ],
  [
    "another wing's internal module",
    "src/store/planted.ts",
    'export { make } from "../token/internal/exchange.ts"\n',
    "internal/ belongs to its own wing"
  ],
  [
    "a cycle of types",
    "src/token/internal/state.ts",
    'import type { TokenService } from "../TokenService.ts"\nexport interface State {\n  readonly service: TokenService\n}\n',
    "Dependency cycle"
  ],
  [
    "a cycle",
    "src/token/shared/time.ts",
    'import { make } from "../internal/actor.ts"\nexport const planted = make\n',
    "Dependency cycle"
  ]
]

describe("imports between the wings", () => {
  it("the source as it is passes", () => {
    const { output, status } = lintWith("src/token/planted.ts", "export const planted = 1\n")
    assert.strictEqual(status, 0, output)
  })

  for (const [what, module, code, complaint] of planted) {
    it(`${what} is refused`, () => {
      const { output, status } = lintWith(module, code)
      assert.notStrictEqual(status, 0)
      assert.include(output, complaint)
    })
  }
})
