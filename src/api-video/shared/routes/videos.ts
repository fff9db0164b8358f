/** Routes of `Videos`. */
import { pageOf } from "../../Page.ts"
import * as Schemas from "../../Video.ts"
import type { Route, UploadRoute } from "../route.ts"
import * as Schema from "effect/Schema"
import { source, thumbnail } from "../files.ts"

const VideoPage = /* @__PURE__ */ pageOf(Schemas.Video)

export const list = {
  name: "Videos.list",
  method: "GET",
  path: "/videos",
  query: Schemas.VideoQuery,
  success: VideoPage
} as const satisfies Route

export const create = {
  name: "Videos.create",
  method: "POST",
  path: "/videos",
  body: Schemas.VideoCreation,
  success: Schemas.Video,
  status: 201
} as const satisfies Route

export const get = {
  name: "Videos.get",
  method: "GET",
  path: "/videos/:videoId",
  success: Schemas.Video
} as const satisfies Route

export const update = {
  name: "Videos.update",
  method: "PATCH",
  path: "/videos/:videoId",
  body: Schemas.VideoUpdate,
  success: Schemas.Video
} as const satisfies Route

export const remove = {
  name: "Videos.delete",
  method: "DELETE",
  path: "/videos/:videoId"
} as const satisfies Route

export const getStatus = {
  name: "Videos.getStatus",
  method: "GET",
  path: "/videos/:videoId/status",
  success: Schemas.VideoStatus
} as const satisfies Route

export const uploadThumbnail = {
  name: "Videos.uploadThumbnail",
  method: "POST",
  path: "/videos/:videoId/thumbnail",
  file: thumbnail,
  success: Schemas.Video
} as const satisfies UploadRoute

export const pickThumbnail = {
  name: "Videos.pickThumbnail",
  method: "PATCH",
  path: "/videos/:videoId/thumbnail",
  body: Schemas.ThumbnailPick,
  success: Schemas.Video
} as const satisfies Route

export const listDiscarded = {
  name: "Videos.listDiscarded",
  method: "GET",
  path: "/discarded/videos",
  query: Schemas.VideoQuery,
  success: VideoPage
} as const satisfies Route

export const getDiscarded = {
  name: "Videos.getDiscarded",
  method: "GET",
  path: "/discarded/videos/:videoId",
  success: Schemas.Video
} as const satisfies Route

export const restore = {
  name: "Videos.restore",
  method: "PATCH",
  path: "/discarded/videos/:videoId",
  body: Schemas.DiscardedVideoUpdate,
  success: Schemas.Video
} as const satisfies Route

export const upload = {
  name: "Videos.upload",
  method: "POST",
  path: "/videos/:videoId/source",
  file: source,
  range: Schemas.ContentRange,
  success: Schemas.Video,
  status: 201
} as const satisfies UploadRoute

export const uploadWithUploadToken = {
  name: "Videos.uploadWithUploadToken",
  method: "POST",
  path: "/upload",
  uploadToken: true,
  file: source,
  form: /* @__PURE__ */ Schema.Struct({ videoId: /* @__PURE__ */ Schema.optional(Schema.String) }),
  range: Schemas.ContentRange,
  success: Schemas.Video,
  status: 201
} as const satisfies UploadRoute
