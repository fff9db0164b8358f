/** Routes of `LiveStreams`. */
import * as Schemas from "../../LiveStream.ts"
import { pageOf } from "../../Page.ts"
import { thumbnail } from "../files.ts"
import type { Route, UploadRoute } from "../route.ts"

export const list = {
  name: "LiveStreams.list",
  method: "GET",
  path: "/live-streams",
  query: Schemas.LiveStreamQuery,
  success: /* @__PURE__ */ pageOf(Schemas.LiveStream)
} as const satisfies Route

export const create = {
  name: "LiveStreams.create",
  method: "POST",
  path: "/live-streams",
  body: Schemas.LiveStreamCreation,
  success: Schemas.LiveStream
} as const satisfies Route

export const get = {
  name: "LiveStreams.get",
  method: "GET",
  path: "/live-streams/:liveStreamId",
  success: Schemas.LiveStream
} as const satisfies Route

export const update = {
  name: "LiveStreams.update",
  method: "PATCH",
  path: "/live-streams/:liveStreamId",
  body: Schemas.LiveStreamUpdate,
  success: Schemas.LiveStream
} as const satisfies Route

export const remove = {
  name: "LiveStreams.delete",
  method: "DELETE",
  path: "/live-streams/:liveStreamId"
} as const satisfies Route

export const uploadThumbnail = {
  name: "LiveStreams.uploadThumbnail",
  method: "POST",
  path: "/live-streams/:liveStreamId/thumbnail",
  file: thumbnail,
  success: Schemas.LiveStream,
  status: 201
} as const satisfies UploadRoute

export const deleteThumbnail = {
  name: "LiveStreams.deleteThumbnail",
  method: "DELETE",
  path: "/live-streams/:liveStreamId/thumbnail",
  success: Schemas.LiveStream
} as const satisfies Route

export const complete = {
  name: "LiveStreams.complete",
  method: "PUT",
  path: "/live-streams/:liveStreamId/complete",
  status: 202
} as const satisfies Route
