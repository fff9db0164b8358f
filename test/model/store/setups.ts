/** The worlds that are explored: with and without a login, and all that goes wrong in them. */
import { seed } from "../../support/random.ts"
import type { Setup } from "./world.ts"

export const faults: Setup["faults"] = {
  "reply lost": 3,
  "call lost": 3,
  "call late": 2,
  "response lost": 1,
  "request late": 1,
  "not sent": 1,
  busy: 1,
  kill: 2,
  cut: 2,
  "sign out": 1,
  beat: 5
}

/** The store loses its latest change: a restored backup, an asynchronous failover. */
export const setBack: Setup["faults"] = { "set back": 2, kill: 1, "reply lost": 1 }

export const kinds = [
  { name: "where a login ends earlier sessions", login: true, supersedes: true, renewals: 1 },
  { name: "where logins leave each other alone", login: true, supersedes: false, renewals: 1 },
  { name: "without a login", login: false, supersedes: false, renewals: 2 }
]

/** A number that follows from the seed of this run. */
export const seedNumber = (name: string): number =>
  [...`${seed} ${name}`].reduce((sum, char) => (sum * 31 + char.charCodeAt(0)) | 0, 7)
