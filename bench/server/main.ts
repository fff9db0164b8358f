/** The platform in a process of its own, on a port that it says to the process that started it. It ends with it. */
import { createServer } from "node:http"
import { make } from "./platform.ts"

const server = createServer({ keepAliveTimeout: 120_000 }, make().listener)
server.listen({ host: "127.0.0.1", port: 0, backlog: 4_096 }, () => process.send?.(server.address()))
process.on("disconnect", () => process.exit())
