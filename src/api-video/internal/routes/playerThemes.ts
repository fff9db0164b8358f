/** Routes of `PlayerThemes`. */
import { pageOf } from "../../Page.ts"
import * as Schemas from "../../PlayerTheme.ts"
import { logo } from "../files.ts"
import type { Route, UploadRoute } from "../route.ts"

export const list = {
  name: "PlayerThemes.list",
  id: "GET_players",
  method: "GET",
  path: "/players",
  query: Schemas.PlayerThemeQuery,
  success: /* @__PURE__ */ pageOf(Schemas.PlayerTheme)
} as const satisfies Route

export const create = {
  name: "PlayerThemes.create",
  id: "POST_players",
  method: "POST",
  path: "/players",
  body: Schemas.PlayerThemeCreation,
  success: Schemas.PlayerTheme
} as const satisfies Route

export const get = {
  name: "PlayerThemes.get",
  id: "GET_players-playerId",
  method: "GET",
  path: "/players/:playerId",
  success: Schemas.PlayerTheme
} as const satisfies Route

export const update = {
  name: "PlayerThemes.update",
  id: "PATCH_players-playerId",
  method: "PATCH",
  path: "/players/:playerId",
  body: Schemas.PlayerThemeUpdate,
  success: Schemas.PlayerTheme
} as const satisfies Route

export const remove = {
  name: "PlayerThemes.delete",
  id: "DELETE_players-playerId",
  method: "DELETE",
  path: "/players/:playerId"
} as const satisfies Route

export const uploadLogo = {
  name: "PlayerThemes.uploadLogo",
  id: "POST_players-playerId-logo",
  method: "POST",
  path: "/players/:playerId/logo",
  file: logo,
  form: Schemas.LogoOptions,
  success: Schemas.PlayerTheme
} as const satisfies UploadRoute

export const deleteLogo = {
  name: "PlayerThemes.deleteLogo",
  id: "DELETE_players-playerId-logo",
  method: "DELETE",
  path: "/players/:playerId/logo"
} as const satisfies Route
