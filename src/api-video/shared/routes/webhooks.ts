/** Routes of `Webhooks`. */
import { pageOf } from "../../Page.ts"
import * as Schemas from "../../Webhook.ts"
import type { Route } from "../route.ts"

export const list = {
  name: "Webhooks.list",
  method: "GET",
  path: "/webhooks",
  query: Schemas.WebhookQuery,
  success: /* @__PURE__ */ pageOf(Schemas.Webhook)
} as const satisfies Route

export const create = {
  name: "Webhooks.create",
  method: "POST",
  path: "/webhooks",
  body: Schemas.WebhookCreation,
  success: Schemas.Webhook,
  status: 201
} as const satisfies Route

export const get = {
  name: "Webhooks.get",
  method: "GET",
  path: "/webhooks/:webhookId",
  success: Schemas.Webhook
} as const satisfies Route

export const remove = {
  name: "Webhooks.delete",
  method: "DELETE",
  path: "/webhooks/:webhookId"
} as const satisfies Route
