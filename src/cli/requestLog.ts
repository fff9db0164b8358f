/**
 * The log of `npm run sandbox`: a line for each request and each delivery to a webhook, for people or as JSON.
 */
import type { Delivery } from "../testing/SandboxDelivery.ts"
import type { Entry } from "../testing/SandboxLedger.ts"

const timeOf = (at: number) => new Date(at).toISOString()

const queryOf = (names: ReadonlyArray<string>) => (names.length === 0 ? "" : `?${names.join("&")}`)

/**
 * Time (UTC), method, path with the names of its parameters, status, credential, duration, and the fault if one was
 * injected. `bearer #2` is the second access token that was issued. Without a response the status is `---`.
 */
export const lineOf = ({ at, credential, duration = 0, fault, method, path, query, status }: Entry): string =>
  [
    timeOf(at).slice(11, -1),
    method.padEnd(6),
    path + queryOf(query),
    status ?? "---",
    credential,
    `${duration} ms`,
    ...(fault === undefined ? [] : [`fault ${fault}`])
  ].join("  ")

/** The same as an object in one line. `status` and `fault` are `null` where there is none; `duration` is in milliseconds. */
export const jsonOf = ({ at, credential, duration = 0, fault, method, path, query, status }: Entry): string =>
  JSON.stringify({
    event: "request",
    at: timeOf(at),
    method,
    path,
    query,
    status: status ?? null,
    credential,
    duration,
    fault: fault ?? null
  })

/** A delivery of an event to a webhook: the same, with the kind of event and the number of the attempt. */
export const deliveryLineOf = ({ at, attempt, problem, status, type, url }: Delivery): string =>
  [
    timeOf(at).slice(11, -1),
    "POST  ",
    url,
    status ?? "---",
    type,
    `attempt ${attempt}`,
    ...(problem === undefined ? [] : [problem])
  ].join("  ")

/** A delivery as an object in one line. */
export const deliveryJsonOf = ({ at, problem, status, ...delivery }: Delivery): string =>
  JSON.stringify({ event: "delivery", at: timeOf(at), ...delivery, status: status ?? null, problem: problem ?? null })
