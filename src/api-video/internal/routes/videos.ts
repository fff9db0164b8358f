/** Routes of `Videos`. */
import { pageOf } from "../../Page.ts"
import * as Schemas from "../../Video.ts"
import type { Route, UploadRoute } from "../route.ts"
import * as Schema from "effect/Schema"
import { source, thumbnail } from "../files.ts"

const VideoPage = /* @__PURE__ */ pageOf(Schemas.Video)

export const list = {
  name: "Videos.list",
  id: "LIST-videos",
  method: "GET",
  path: "/videos",
  query: Schemas.VideoQuery,
  success: VideoPage
} as const satisfies Route

export const create = {
  name: "Videos.create",
  id: "POST-video",
  method: "POST",
  path: "/videos",
  body: Schemas.VideoCreation,
  success: Schemas.Video
} as const satisfies Route

export const get = {
  name: "Videos.get",
  id: "GET-video",
  method: "GET",
  path: "/videos/:videoId",
  success: Schemas.Video
} as const satisfies Route

export const update = {
  name: "Videos.update",
  id: "PATCH-video",
  method: "PATCH",
  path: "/videos/:videoId",
  body: Schemas.VideoUpdate,
  success: Schemas.Video
} as const satisfies Route

export const remove = {
  name: "Videos.delete",
  id: "DELETE-video",
  method: "DELETE",
  path: "/videos/:videoId"
} as const satisfies Route

export const getStatus = {
  name: "Videos.getStatus",
  id: "GET-video-status",
  method: "GET",
  path: "/videos/:videoId/status",
  success: Schemas.VideoStatus
} as const satisfies Route

export const uploadThumbnail = {
  name: "Videos.uploadThumbnail",
  id: "POST_videos-videoId-thumbnail",
  method: "POST",
  path: "/videos/:videoId/thumbnail",
  file: thumbnail,
  success: Schemas.Video
} as const satisfies UploadRoute

export const pickThumbnail = {
  name: "Videos.pickThumbnail",
  id: "PATCH_videos-videoId-thumbnail",
  method: "PATCH",
  path: "/videos/:videoId/thumbnail",
  body: Schemas.ThumbnailPick,
  success: Schemas.Video
} as const satisfies Route

export const listDiscarded = {
  name: "Videos.listDiscarded",
  id: "LIST-discarded-videos",
  method: "GET",
  path: "/discarded/videos",
  query: Schemas.VideoQuery,
  success: VideoPage
} as const satisfies Route

export const getDiscarded = {
  name: "Videos.getDiscarded",
  id: "GET-discarded-video",
  method: "GET",
  path: "/discarded/videos/:videoId",
  success: Schemas.Video
} as const satisfies Route

export const restore = {
  name: "Videos.restore",
  id: "PATCH-discarded-video",
  method: "PATCH",
  path: "/discarded/videos/:videoId",
  body: Schemas.DiscardedVideoUpdate,
  success: Schemas.Video
} as const satisfies Route

export const upload = {
  name: "Videos.upload",
  id: "POST_videos-videoId-source",
  method: "POST",
  path: "/videos/:videoId/source",
  file: source,
  range: Schemas.ContentRange,
  success: Schemas.Video
} as const satisfies UploadRoute

export const uploadWithUploadToken = {
  name: "Videos.uploadWithUploadToken",
  id: "POST_upload",
  method: "POST",
  path: "/upload",
  uploadToken: true,
  file: source,
  form: /* @__PURE__ */ Schema.Struct({ videoId: /* @__PURE__ */ Schema.optional(Schema.String) }),
  range: Schemas.ContentRange,
  success: Schemas.Video
} as const satisfies UploadRoute
