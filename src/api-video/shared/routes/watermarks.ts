/** Routes of `Watermarks`. */
import { pageOf } from "../../Page.ts"
import * as Schemas from "../../Watermark.ts"
import { watermark } from "../files.ts"
import type { Route, UploadRoute } from "../route.ts"

export const list = {
  name: "Watermarks.list",
  method: "GET",
  path: "/watermarks",
  query: Schemas.WatermarkQuery,
  success: /* @__PURE__ */ pageOf(Schemas.Watermark)
} as const satisfies Route

export const upload = {
  name: "Watermarks.upload",
  method: "POST",
  path: "/watermarks",
  file: watermark,
  success: Schemas.Watermark
} as const satisfies UploadRoute

export const remove = {
  name: "Watermarks.delete",
  method: "DELETE",
  path: "/watermarks/:watermarkId"
} as const satisfies Route
