/** Routes of `UploadTokens`. */
import { pageOf } from "../../Page.ts"
import * as Schemas from "../../UploadToken.ts"
import type { Route } from "../route.ts"

export const list = {
  name: "UploadTokens.list",
  id: "GET_upload-tokens",
  method: "GET",
  path: "/upload-tokens",
  query: Schemas.UploadTokenQuery,
  success: /* @__PURE__ */ pageOf(Schemas.UploadToken)
} as const satisfies Route

export const create = {
  name: "UploadTokens.create",
  id: "POST_upload-tokens",
  method: "POST",
  path: "/upload-tokens",
  body: Schemas.UploadTokenCreation,
  success: Schemas.UploadToken
} as const satisfies Route

export const get = {
  name: "UploadTokens.get",
  id: "GET_upload-tokens-uploadToken",
  method: "GET",
  path: "/upload-tokens/:uploadToken",
  success: Schemas.UploadToken
} as const satisfies Route

export const remove = {
  name: "UploadTokens.delete",
  id: "DELETE_upload-tokens-uploadToken",
  method: "DELETE",
  path: "/upload-tokens/:uploadToken"
} as const satisfies Route
