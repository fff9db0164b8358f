/** Host for Node, Bun and Deno: `command.mjs URLS`, in JSON. Nothing ends the process but the end of the program. */
import process from "node:process"
import { smoke } from "./smoke.mjs"

const [runtime, version] =
  "Deno" in globalThis
    ? ["deno", globalThis.Deno.version.deno]
    : "Bun" in globalThis
      ? ["bun", globalThis.Bun.version]
      : ["node", process.versions.node]

const { facts, failure, ok } = await smoke(JSON.parse(process.argv[2]))
if (ok) {
  console.log(`ok ${runtime} ${version}`)
  console.log(JSON.stringify(facts))
} else {
  console.error(failure)
  process.exit(1)
}
