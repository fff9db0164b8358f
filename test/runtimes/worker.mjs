/** Host for workerd: runs the program once per request, whose body is the URLs. */
import { smoke } from "./smoke.mjs"

export default {
  fetch: async (request) => Response.json(await smoke(await request.json()))
}
