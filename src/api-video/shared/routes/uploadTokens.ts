/** Routes of `UploadTokens`. */
import { pageOf } from "../../Page.ts"
import * as Schemas from "../../UploadToken.ts"
import type { Route } from "../route.ts"

export const list = {
  name: "UploadTokens.list",
  method: "GET",
  path: "/upload-tokens",
  query: Schemas.UploadTokenQuery,
  success: /* @__PURE__ */ pageOf(Schemas.UploadToken)
} as const satisfies Route

export const create = {
  name: "UploadTokens.create",
  method: "POST",
  path: "/upload-tokens",
  body: Schemas.UploadTokenCreation,
  success: Schemas.UploadToken
} as const satisfies Route

export const get = {
  name: "UploadTokens.get",
  method: "GET",
  path: "/upload-tokens/:uploadToken",
  success: Schemas.UploadToken
} as const satisfies Route

export const remove = {
  name: "UploadTokens.delete",
  method: "DELETE",
  path: "/upload-tokens/:uploadToken"
} as const satisfies Route
