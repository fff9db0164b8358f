/**
 * Puts this process on virtual time. To be imported before anything that reads a clock: whatever keeps a `setTimeout` or
 * a `hrtime` of its own would stay on the real one.
 *
 * Sockets are real, and so is the order in which things happen. Time stands still while anything moves, and then goes on
 * to the next timer, so that neither the speed nor the load of the machine can be seen in a figure.
 */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { install } from "@sinonjs/fake-timers"
import { fromControl, type Server } from "./server.ts"
import { make } from "./server/platform.ts"

const nowReally = performance.now.bind(performance)
const setTimeoutReally = setTimeout

/** What real time it is, and a sleep in it, in milliseconds. */
export const real = {
  now: nowReally,
  sleep: (millis: number) => new Promise<void>((resolve) => setTimeoutReally(resolve, millis))
}

const clock = install({
  now: Date.now(),
  // Sockets need the rest.
  toFake: ["Date", "hrtime", "performance", "setTimeout", "clearTimeout", "setInterval", "clearInterval"]
})

export const sleep = (millis: number) => new Promise<void>((resolve) => setTimeout(resolve, millis))

/** Counts what platforms of this process see on the wire. */
let activity = 0
const stir = () => {
  activity += 1
}

/** A request takes fewer turns of the event loop than this to show up on the other side of the loopback. */
const quietTurns = 20

const settle = async () => {
  for (let turn = 0; turn < quietTurns; turn++) {
    const before = activity
    await new Promise((resolve) => setImmediate(resolve))
    if (activity !== before) turn = 0
  }
}

/** Moves time on, timer by timer, until the work is done. */
export const until = async <A>(work: Promise<A>): Promise<A> => {
  const state = { isDone: false }
  const end = () => {
    state.isDone = true
  }
  work.then(end, end)
  await settle()
  while (!state.isDone) {
    clock.next()
    await settle()
  }
  return work
}

/** From now on time runs as real time does. */
export const run = () => clock.setTickMode({ mode: "interval", delta: 1 })

/** Moves time on by so many milliseconds at once. */
export const jump = (millis: number) => {
  clock.tick(millis)
}

/** Starts a platform that lives on this process' time. */
export const start = async (): Promise<Server> => {
  const { control, listener } = make()
  const server = createServer({ keepAliveTimeout: 120_000 }, listener)
  server.on("connection", stir)
  server.on("request", (_, response) => {
    stir()
    response.on("close", stir)
  })
  const address = await new Promise<AddressInfo>((resolve) => {
    server.listen({ host: "127.0.0.1", port: 0 }, () => resolve(server.address() as AddressInfo))
  })
  return fromControl(
    address,
    async (_, command) => control(command),
    async () => {
      server.close()
      server.closeAllConnections()
    }
  )
}
