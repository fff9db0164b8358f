/** What an installation puts on the disk, by the lockfiles that this one was made from. */
import { globSync, lstatSync, readFileSync } from "node:fs"
import { join } from "node:path"

export interface Installed {
  readonly packages: number
  readonly bytes: number
}

interface Locked {
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>
}

/** npm installs the peers that are not optional as well. */
const needsOf = (locked: Locked): ReadonlyArray<string> => [
  ...Object.keys(locked.dependencies ?? {}),
  ...Object.keys(locked.optionalDependencies ?? {}),
  ...Object.keys(locked.peerDependencies ?? {}).filter((name) => locked.peerDependenciesMeta?.[name]?.optional !== true)
]

/** Where Node finds a package that one at `from` asks for: in its own `node_modules` or in one above. */
const find = (lock: ReadonlyMap<string, Locked>, from: string, name: string): string | undefined => {
  for (let at = from; ; at = at.slice(0, Math.max(0, at.lastIndexOf("node_modules") - 1))) {
    const path = at === "" ? `node_modules/${name}` : `${at}/node_modules/${name}`
    if (lock.has(path)) return path
    if (at === "") return undefined
  }
}

/** All files below a folder, but for those of packages inside it, which count by themselves. */
const bytesOf = (folder: string): number =>
  globSync("**/*", { cwd: folder, exclude: (name) => name === "node_modules" }).reduce((bytes, file) => {
    const stat = lstatSync(join(folder, file))
    return stat.isFile() ? bytes + stat.size : bytes
  }, 0)

/** The packages named and all that they need, as installed in a folder that has a lockfile. */
export const installedIn = (folder: string, names: ReadonlyArray<string>): Installed => {
  const { packages } = JSON.parse(readFileSync(join(folder, "package-lock.json"), "utf8")) as {
    readonly packages: Readonly<Record<string, Locked>>
  }
  const lock = new Map(Object.entries(packages))
  const found = new Set<string>()
  const visit = (from: string, name: string) => {
    const path = find(lock, from, name)
    if (path === undefined || found.has(path)) return
    found.add(path)
    for (const need of needsOf(lock.get(path) ?? {})) visit(path, need)
  }
  for (const name of names) visit("", name)
  const bytes = [...found].map((path) => bytesOf(join(folder, path)))
  // An optional dependency of another platform is locked and not installed.
  return { packages: bytes.filter((bytes) => bytes > 0).length, bytes: bytes.reduce((sum, bytes) => sum + bytes, 0) }
}
