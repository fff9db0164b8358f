// Runs before every npm script, on any Node.

// `npm ci` puts a Node that Effect supports first on the PATH of every npm script.
const [major, minor] = process.versions.node.split(".").map(Number)
if (major < 22 || (major === 22 && minor < 19)) {
  console.error(
    `effect-video-auth needs Node 22.19 or newer, and this is ${process.versions.node}. ` +
      "Run it through npm (npm ci, then npm start): the dev dependency `node` brings the right one."
  )
  process.exit(1)
}

// npm passes a signal to the shell that it starts. Most shells end by it and leave Node running, so Node notices here that
// its parent has gone, and ends as if the signal had reached it.
const parent = process.ppid
setInterval(() => {
  if (process.ppid !== parent) process.kill(process.pid, "SIGTERM")
}, 200).unref()

// Nobody reads on: `npm run sandbox | head`.
process.stdout.on("error", (error) => {
  if (error.code !== "EPIPE") throw error
  process.exit()
})
