/** Our library as it is published, in a folder from which it finds Effect. */
import { spawnSync } from "node:child_process"
import { globSync, lstatSync, rmSync } from "node:fs"
import { join } from "node:path"

const root = join(import.meta.dirname, "../..")

export interface Built {
  readonly folder: string
  /** What the package would put on a disk. */
  readonly bytes: number
}

const run = (command: string, ...args: ReadonlyArray<string>): string => {
  const { error, status, stderr, stdout } = spawnSync(command, args, {
    cwd: root,
    encoding: "utf8",
    // npm is a script on Windows.
    shell: process.platform === "win32" && command !== process.execPath
  })
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stdout}${stderr}${error ?? ""}`)
  return stdout
}

interface Packed {
  readonly files: ReadonlyArray<{ readonly path: string; readonly size: number }>
}

export const build = (): Built => {
  const folder = join(root, "node_modules/.cache/effect-video-auth-bench")
  rmSync(folder, { recursive: true, force: true })
  run(process.execPath, "node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json", "--outDir", folder)
  const compiled = globSync("**/*", { cwd: folder, exclude: (name) => name === "cli" })
    .map((file) => lstatSync(join(folder, file)))
    .filter((stat) => stat.isFile())
  // All but `dist`, which may be there or not.
  const packed = JSON.parse(run("npm", "pack", "--dry-run", "--json", "--ignore-scripts", "--silent"))
  const [{ files }] = Object.values(packed) as [Packed]
  const others = files.filter(({ path }) => !path.startsWith("dist/"))
  return { folder, bytes: [...compiled, ...others].reduce((sum, { size }) => sum + size, 0) }
}
