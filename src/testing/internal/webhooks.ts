/** The webhooks of the sandboxed api.video: whom to tell of an event. */
import type * as routes from "../../api-video/shared/routes/webhooks.ts"
import type { Json } from "../SandboxRequest.ts"
import { randomHex } from "../SandboxTokens.ts"
import type { Handlers } from "./input.ts"
import { page } from "./pages.ts"
import { notFound } from "./reply.ts"
import { atom, identifier, type World } from "./world.ts"

/** Where to post events, and the key to sign them with. */
export interface Webhook {
  readonly webhookId: string
  readonly createdAt: number
  readonly url: string
  readonly events: ReadonlyArray<string>
  readonly signatureSecret: string
}

const show = ({ createdAt, events, signatureSecret, url, webhookId }: Webhook): Json => ({
  webhookId,
  createdAt: atom(createdAt),
  events,
  url,
  signatureSecret
})

export const make = ({ conceal, now, origin }: World) => {
  const webhooks = new Map<string, Webhook>()
  const webhooksFor = (event: string | undefined): ReadonlyArray<Webhook> =>
    [...webhooks.values()].filter(({ events }) => event === undefined || events.includes(event))

  const handlers: Handlers<typeof routes> = {
    list: ({ query, url }) => page(webhooksFor(query.events), query, { origin, url }, show),
    create: ({ body }) => {
      const webhook: Webhook = {
        webhookId: identifier("webhook_"),
        createdAt: now(),
        url: body.url,
        events: body.events,
        signatureSecret: `sig_sec_${randomHex(11)}`
      }
      conceal(webhook.signatureSecret)
      webhooks.set(webhook.webhookId, webhook)
      return show(webhook)
    },
    get: ({ params }) => {
      const webhook = webhooks.get(params.webhookId)
      return webhook === undefined ? notFound("webhookId") : show(webhook)
    },
    remove: ({ params }) => (webhooks.delete(params.webhookId) ? undefined : notFound("webhookId"))
  }
  return { handlers, webhooksFor }
}
