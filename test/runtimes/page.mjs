/** Host for a browser: a page whose query holds the URLs, and that posts the outcome to its own server. */
import { smoke } from "./smoke.mjs"

const urls = JSON.parse(new URLSearchParams(location.search).get("urls"))
const outcome = await smoke(urls)
await fetch("/outcome", { method: "POST", body: JSON.stringify({ ...outcome, isSecureContext }) })
