/**
 * Player themes: the colours, controls and logo of the player.
 *
 * @since 0.1.0
 */
import type * as Stream from "effect/Stream"
import type { ApiVideo, Call, ClientError } from "./ApiVideoClient.ts"
import { call, send } from "./internal/call.ts"
import { pages } from "./internal/pages.ts"
import * as routes from "./shared/routes/playerThemes.ts"
import { upload } from "./internal/upload.ts"
import type { Page, StreamQuery } from "./Page.ts"
import type {
  LogoOptions,
  PlayerTheme,
  PlayerThemeCreation,
  PlayerThemeQuery,
  PlayerThemeUpdate
} from "./PlayerTheme.ts"
import type { Input } from "./UploadFile.ts"

/**
 * Returns one page of player themes, 25 unless the query says otherwise (api.video OpenAPI, `GET_players`).
 *
 * @category operations
 * @since 0.1.0
 */
export const list = (query?: PlayerThemeQuery): Call<Page<PlayerTheme>> => call(routes.list, query)

/**
 * Emits all player themes, from the oldest to the newest unless the query sorts them. Pages are requested one by one as
 * the stream is read; `pageSize` is 100 unless set.
 *
 * @category streams
 * @since 0.1.0
 */
export const stream = (query: StreamQuery<PlayerThemeQuery> = {}): Stream.Stream<PlayerTheme, ClientError, ApiVideo> =>
  pages(
    (paging) => list({ sortBy: "createdAt", sortOrder: "asc", ...query, ...paging }),
    ({ playerId }) => playerId,
    query.pageSize
  )

/**
 * Creates a theme (`POST_players`).
 *
 * @category operations
 * @since 0.1.0
 */
export const create = (theme?: PlayerThemeCreation): Call<PlayerTheme> => call(routes.create, theme)

/**
 * Returns a theme (`GET_players-playerId`).
 *
 * @category operations
 * @since 0.1.0
 */
export const get = (playerId: string): Call<PlayerTheme> => call(routes.get, playerId)

/**
 * Changes fields of a theme (`PATCH_players-playerId`).
 *
 * @category operations
 * @since 0.1.0
 */
export const update = (playerId: string, changes: PlayerThemeUpdate): Call<PlayerTheme> =>
  call(routes.update, playerId, changes)

const delete_ = (playerId: string): Call<void> => send(routes.remove, playerId)

export {
  /**
   * Deletes a theme (`DELETE_players-playerId`).
   *
   * @category operations
   * @since 0.1.0
   */
  delete_ as delete
}

/**
 * Uploads a logo: JPEG or PNG, at most 100 KiB and 200 by 100 pixels (`POST_players-playerId-logo`).
 *
 * @category operations
 * @since 0.1.0
 */
export const uploadLogo = (playerId: string, file: Input, options?: LogoOptions): Call<PlayerTheme> =>
  upload(routes.uploadLogo, playerId, file, options)

/**
 * Deletes the logo (`DELETE_players-playerId-logo`).
 *
 * @category operations
 * @since 0.1.0
 */
export const deleteLogo = (playerId: string): Call<void> => send(routes.deleteLogo, playerId)
