/** Starts the platform that subjects talk to, and commands it. */
import { fork } from "node:child_process"
import type { AddressInfo } from "node:net"
import type { Behaviour, Command, Ledger } from "./server/platform.ts"

export { type Behaviour, exchangesOf, type Ledger } from "./server/platform.ts"

/** A platform that listens on loopback. */
export interface Server {
  /** Without a slash at its end. */
  readonly url: string
  readonly configure: (behaviour: Partial<Behaviour>) => Promise<void>
  /** Opens a new ledger. Tokens stay valid. */
  readonly reset: () => Promise<void>
  readonly ledger: () => Promise<Ledger>
  readonly close: () => Promise<void>
}

/** A server by what it is commanded with. */
export const fromControl = (
  { port }: AddressInfo,
  control: (url: string, command: Command) => Promise<Ledger>,
  close: () => Promise<void>
): Server => {
  const url = `http://127.0.0.1:${port}`
  return {
    url,
    configure: async (behaviour) => {
      await control(url, { configure: behaviour })
    },
    reset: async () => {
      await control(url, { reset: true })
    },
    ledger: () => control(url, {}),
    close
  }
}

const post = async (url: string, command: Command): Promise<Ledger> => {
  const response = await fetch(`${url}/control`, { method: "POST", body: JSON.stringify(command) })
  return (await response.json()) as Ledger
}

/** Starts one in a process of its own, so that what it costs is not counted as the subject's. */
export const start = async (): Promise<Server> => {
  const child = fork(new URL("server/main.ts", import.meta.url), {
    execArgv: ["--disable-warning=ExperimentalWarning"]
  })
  const address = await new Promise<AddressInfo>((resolve, reject) => {
    child.once("message", (message) => resolve(message as AddressInfo))
    child.once("exit", (code) => reject(new Error(`the server ended with ${code}`)))
  })
  const close = () =>
    new Promise<void>((resolve) => {
      child.once("exit", () => resolve())
      child.disconnect()
    })
  return fromControl(address, post, close)
}
