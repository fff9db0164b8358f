/** What handlers of operations answer, and how the sandboxed api.video refuses requests. */
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as SandboxProblem from "../SandboxProblem.ts"
import type { Answer, Json } from "../SandboxRequest.ts"

/** JSON for a response of the documented status, nothing for one without a body, or a response. */
export type Reply = Json | Answer | undefined

/** What a parameter names is not there. */
export const notFound = (name: string): Answer => SandboxProblem.response("resource-not-found", { name })

/** Refuses the id of a resource in a body. Which of its errors api.video responds with is not documented. */
export const noSuch = (what: string, name: string): Answer =>
  SandboxProblem.response("invalid-attribute", { name, detail: `There is no such ${what}.` })

/** Something that the platform may know, but this sandbox does not. */
export interface Unknown {
  /** As the request has it: `foo`, `filterBy[planet]`, `clip[speed]`. */
  readonly name: string
  readonly what: "query parameter" | "body field" | "form field" | "operation" | "private asset"
}

/** 501: a sandbox that ignored what it doesn't know would let tests pass that fail in production. */
export const notSimulated = (unknown: ReadonlyArray<Unknown>, where: string): Answer => {
  const problems = unknown.map(({ name, what }) => ({
    title: `The sandbox does not simulate the ${what} ${name}${what === "operation" ? "" : ` of ${where}`}.`,
    name
  }))
  const [first] = problems
  return SandboxProblem.untyped({ ...(first ?? { title: "Not simulated." }), status: 501, problems })
}

/** A reply as a response. */
export const toAnswer = (reply: Reply, status: number): Answer =>
  HttpServerResponse.isHttpServerResponse(reply)
    ? reply
    : reply === undefined
      ? HttpServerResponse.empty({ status })
      : HttpServerResponse.jsonUnsafe(reply, { status })
