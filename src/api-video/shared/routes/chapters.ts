/** Routes of `Chapters`. */
import * as Schemas from "../../Chapter.ts"
import { pageOf } from "../../Page.ts"
import { chapters } from "../files.ts"
import type { Route, UploadRoute } from "../route.ts"
import { languageTag } from "../schema.ts"

const path = "/videos/:videoId/chapters/:language"
const params = { language: languageTag }

export const list = {
  name: "Chapters.list",
  method: "GET",
  path: "/videos/:videoId/chapters",
  query: Schemas.ChapterQuery,
  success: /* @__PURE__ */ pageOf(Schemas.Chapter)
} as const satisfies Route

export const get = {
  name: "Chapters.get",
  method: "GET",
  path,
  params,
  success: Schemas.Chapter
} as const satisfies Route

export const upload = {
  name: "Chapters.upload",
  method: "POST",
  path,
  params,
  file: chapters,
  success: Schemas.Chapter
} as const satisfies UploadRoute

export const remove = {
  name: "Chapters.delete",
  method: "DELETE",
  path,
  params
} as const satisfies Route
