/** Routes of `Tags`. */
import { pageOf } from "../../Page.ts"
import * as Schemas from "../../Tag.ts"
import type { Route } from "../route.ts"

export const list = {
  name: "Tags.list",
  method: "GET",
  path: "/tags",
  query: Schemas.TagQuery,
  success: /* @__PURE__ */ pageOf(Schemas.Tag)
} as const satisfies Route
