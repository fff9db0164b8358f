/** Prometheus' own parser and linter of what it scrapes: `promtool`, of the Debian package `prometheus`. */
import { spawnSync } from "node:child_process"

/** What it says of a text: nothing, if all is well. */
export const promtool = (text: string) => {
  const { error, status, stderr, stdout } = spawnSync("promtool", ["check", "metrics"], {
    input: text,
    encoding: "utf8"
  })
  return { status, output: `${error ?? ""}${stdout}${stderr}` }
}

/** Whether to ask it: always with `REQUIRE_SERVERS=1`, and a test fails where it is missing. */
export const hasPromtool =
  process.env["REQUIRE_SERVERS"] === "1" || spawnSync("promtool", ["--version"]).error === undefined
if (!hasPromtool) console.warn("promtool is not installed (apt-get install prometheus): Prometheus is not asked")
