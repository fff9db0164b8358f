/** Makes programs of the tests one file each, which starts in a third of the time that Node takes for as many modules. */
import { Effect } from "effect"
import { build, type BuildOptions, buildSync } from "esbuild"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"

/** How programs are bundled that import this package by its name. */
export const bundling = {
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node22",
  conditions: ["@effect-video-auth/source"],
  // An optional part of `pg`, which is not installed.
  external: ["pg-native"],
  // CommonJS modules among the dependencies call `require`.
  banner: {
    js: 'import { createRequire as requireOf } from "node:module"; const require = requireOf(import.meta.url);'
  },
  logLevel: "warning"
} satisfies BuildOptions

const bundles = new Map<string, string>()

/** Returns the path of the file to run instead of a script. */
export const bundle = (script: string): string => {
  const known = bundles.get(script)
  if (known !== undefined) return known
  const directory = mkdtempSync(join(tmpdir(), "bundle-"))
  process.once("exit", () => rmSync(directory, { recursive: true, force: true }))
  const outfile = join(directory, `${basename(script, ".ts")}.mjs`)
  buildSync({ ...bundling, entryPoints: [script], outfile })
  bundles.set(script, outfile)
  return outfile
}

/** Makes the text of a module for pages. */
export const bundlePage = (script: string): Effect.Effect<string> =>
  Effect.promise(async () => {
    const { outputFiles } = await build({
      entryPoints: [script],
      conditions: bundling.conditions,
      bundle: true,
      format: "esm",
      platform: "browser",
      target: "es2022",
      write: false
    })
    return outputFiles[0]?.text ?? ""
  })
