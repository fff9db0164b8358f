/** Routes of `Captions`. */
import * as Schemas from "../../Caption.ts"
import { pageOf } from "../../Page.ts"
import { captions } from "../files.ts"
import type { Route, UploadRoute } from "../route.ts"
import { languageTag } from "../schema.ts"

const path = "/videos/:videoId/captions/:language"
const params = { language: languageTag }

export const list = {
  name: "Captions.list",
  method: "GET",
  path: "/videos/:videoId/captions",
  query: Schemas.CaptionQuery,
  success: /* @__PURE__ */ pageOf(Schemas.Caption)
} as const satisfies Route

export const get = {
  name: "Captions.get",
  method: "GET",
  path,
  params,
  success: Schemas.Caption
} as const satisfies Route

export const upload = {
  name: "Captions.upload",
  method: "POST",
  path,
  params,
  file: captions,
  success: Schemas.Caption
} as const satisfies UploadRoute

export const update = {
  name: "Captions.update",
  method: "PATCH",
  path,
  params,
  body: Schemas.CaptionUpdate,
  success: Schemas.Caption
} as const satisfies Route

export const remove = {
  name: "Captions.delete",
  method: "DELETE",
  path,
  params
} as const satisfies Route
