/** Routes of `PlayerThemes`. */
import { pageOf } from "../../Page.ts"
import * as Schemas from "../../PlayerTheme.ts"
import { logo } from "../files.ts"
import type { Route, UploadRoute } from "../route.ts"

export const list = {
  name: "PlayerThemes.list",
  method: "GET",
  path: "/players",
  query: Schemas.PlayerThemeQuery,
  success: /* @__PURE__ */ pageOf(Schemas.PlayerTheme)
} as const satisfies Route

export const create = {
  name: "PlayerThemes.create",
  method: "POST",
  path: "/players",
  body: Schemas.PlayerThemeCreation,
  success: Schemas.PlayerTheme,
  status: 201
} as const satisfies Route

export const get = {
  name: "PlayerThemes.get",
  method: "GET",
  path: "/players/:playerId",
  success: Schemas.PlayerTheme
} as const satisfies Route

export const update = {
  name: "PlayerThemes.update",
  method: "PATCH",
  path: "/players/:playerId",
  body: Schemas.PlayerThemeUpdate,
  success: Schemas.PlayerTheme
} as const satisfies Route

export const remove = {
  name: "PlayerThemes.delete",
  method: "DELETE",
  path: "/players/:playerId"
} as const satisfies Route

export const uploadLogo = {
  name: "PlayerThemes.uploadLogo",
  method: "POST",
  path: "/players/:playerId/logo",
  file: logo,
  form: Schemas.LogoOptions,
  success: Schemas.PlayerTheme,
  status: 201
} as const satisfies UploadRoute

export const deleteLogo = {
  name: "PlayerThemes.deleteLogo",
  method: "DELETE",
  path: "/players/:playerId/logo"
} as const satisfies Route
