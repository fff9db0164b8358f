/** Bundles for Node, minified and compressed. */
import { gzipSync } from "node:zlib"
import { build } from "esbuild"

/** The folder from which a program finds the peers, and Effect above them. */
const folder = new URL("..", import.meta.url).pathname

const gzipped = (code: Uint8Array | string) => gzipSync(code, { level: 9 }).byteLength

export const byEsbuild = async (source: string): Promise<number> => {
  const { outputFiles } = await build({
    stdin: { contents: source, resolveDir: folder, loader: "js" },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    platform: "node",
    mainFields: ["module", "main"],
    target: "node22",
    logLevel: "error"
  })
  return outputFiles.reduce((bytes, { contents }) => bytes + gzipped(contents), 0)
}

type Bundler = (source: string) => Promise<number>

/** Its native half is a package of its own for each platform: `undefined` where there is none. */
export const loadRolldown = async (): Promise<Bundler | undefined> => {
  const loaded = await import("rolldown").catch((error: unknown) => {
    console.warn(
      `rolldown does not run here, and its rows are left out: ${error instanceof Error ? error.message : error}`
    )
  })
  if (loaded === undefined) return undefined
  const entry = `${folder}program.js`
  return async (source) => {
    const bundle = await loaded.rolldown({
      input: entry,
      platform: "node",
      logLevel: "silent",
      plugins: [
        {
          name: "program",
          resolveId: (id) => (id === entry ? id : undefined),
          load: (id) => (id === entry ? source : undefined)
        }
      ]
    })
    const { output } = await bundle.generate({ format: "esm", minify: true })
    await bundle.close()
    return output.reduce((bytes, file) => bytes + gzipped(file.type === "chunk" ? file.code : file.source), 0)
  }
}
