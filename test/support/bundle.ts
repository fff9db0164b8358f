/** Programs of the tests as one file each: they start in a third of the time that Node takes for as many modules. */
import { buildSync } from "esbuild"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"

const bundles = new Map<string, string>()

/** The path of what `node` is to run instead of this script. */
export const bundle = (script: string): string => {
  const known = bundles.get(script)
  if (known !== undefined) return known
  const directory = mkdtempSync(join(tmpdir(), "bundle-"))
  process.once("exit", () => rmSync(directory, { recursive: true, force: true }))
  const outfile = join(directory, `${basename(script, ".ts")}.mjs`)
  buildSync({
    entryPoints: [script],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node22",
    conditions: ["@effect-video-auth/source"],
    // An optional part of `pg`, which is not installed.
    external: ["pg-native"],
    // What CommonJS modules among the dependencies ask for.
    banner: {
      js: 'import { createRequire as requireOf } from "node:module"; const require = requireOf(import.meta.url);'
    },
    logLevel: "warning"
  })
  bundles.set(script, outfile)
  return outfile
}
