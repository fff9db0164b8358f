/** The upload tokens of the sandboxed api.video. */
import type * as routes from "../../api-video/shared/routes/uploadTokens.ts"
import type * as SandboxProblem from "../SandboxProblem.ts"
import type { Json } from "../SandboxRequest.ts"
import type { Handlers } from "./input.ts"
import { page, sorted } from "./pages.ts"
import { notFound } from "./reply.ts"
import { atom, identifier, type World } from "./world.ts"

interface UploadToken {
  readonly token: string
  /** In seconds; 0: for ever. */
  readonly ttl: number
  readonly createdAt: number
}

const expiryOf = ({ createdAt, ttl }: UploadToken): number => (ttl === 0 ? Infinity : createdAt + ttl * 1000)

const show = (token: UploadToken): Json => ({
  token: token.token,
  ttl: token.ttl,
  createdAt: atom(token.createdAt),
  ...(token.ttl === 0 ? {} : { expiresAt: atom(expiryOf(token)) })
})

export const make = ({ conceal, now, origin }: World) => {
  const tokens = new Map<string, UploadToken>()
  const isLive = (token: UploadToken) => now() < expiryOf(token)

  const handlers: Handlers<typeof routes> = {
    list: ({ query, url }) =>
      page(
        sorted([...tokens.values()].filter(isLive), query, (token, key) => token[key]),
        query,
        { origin, url },
        show
      ),
    create: ({ body }) => {
      const token = { token: identifier("to"), ttl: body.ttl ?? 0, createdAt: now() }
      tokens.set(token.token, token)
      conceal(token.token)
      return show(token)
    },
    get: ({ params }) => {
      const token = tokens.get(params.uploadToken)
      return token === undefined ? notFound("uploadToken") : show(token)
    },
    remove: ({ params }) => (tokens.delete(params.uploadToken) ? undefined : notFound("uploadToken"))
  }
  return {
    handlers,
    /** Why an upload with a token may not go on, if so. */
    refusalOf: (token: string | null): SandboxProblem.Slug | undefined => {
      if (token === null || token === "") return "authentication-missing-upload-token"
      const held = tokens.get(token)
      return held !== undefined && isLive(held) ? undefined : "authentication-invalid-upload-token"
    }
  }
}
