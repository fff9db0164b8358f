/** Where this machine has its Chromium, and how tests start it. Of Node alone: scripts without Effect use it as well. */
import { accessSync, constants } from "node:fs"
import { delimiter, join } from "node:path"

const isExecutable = (path: string) => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** The first of these programs that the PATH has. */
export const onPath = (...names: ReadonlyArray<string>): string | undefined =>
  names
    .flatMap((name) => (process.env["PATH"] ?? "").split(delimiter).map((directory) => join(directory, name)))
    .find(isExecutable)

/** The browser, unless there is none; `CHROMIUM` names another one. */
export const find = (): string | undefined =>
  process.env["CHROMIUM"] ?? onPath("chromium", "chromium-browser", "google-chrome", "chrome")

/** Said where `find` finds none. */
export const missing = "there is no chromium on the PATH, and CHROMIUM names none"

/** A browser without a window, a past, or anything to do with its maker. */
export const flags = (profile: string, hostRules: string): ReadonlyArray<string> => [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-quic",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
  "--enable-logging=stderr",
  `--host-resolver-rules=${hostRules}`,
  `--user-data-dir=${profile}`,
  // Keeps it running, and says when it does.
  "--remote-debugging-port=0"
]
