/** The player themes of the sandboxed api.video. */
import type * as routes from "../../api-video/shared/routes/playerThemes.ts"
import type { Json } from "../SandboxRequest.ts"
import type { Handlers, Input } from "./input.ts"
import { page, sorted } from "./pages.ts"
import { notFound, type Reply } from "./reply.ts"
import { atom, identifier, type World } from "./world.ts"

type Settings = Input<typeof routes.create>["body"]

interface Player {
  readonly playerId: string
  readonly createdAt: number
  updatedAt: number
  settings: Settings
  logo: { readonly link: string | undefined } | undefined
}

/** As documented (api.video OpenAPI, `player-theme`). */
const defaults: Settings = {
  text: "rgba(255, 255, 255, 1)",
  link: "rgba(255, 255, 255, 1)",
  linkHover: "rgba(255, 255, 255, 1)",
  trackPlayed: "rgba(88, 131, 255, .95)",
  trackUnplayed: "rgba(255, 255, 255, .35)",
  trackBackground: "rgba(255, 255, 255, .2)",
  backgroundTop: "rgba(0, 0, 0, .7)",
  backgroundBottom: "rgba(0, 0, 0, .7)",
  backgroundText: "rgba(255, 255, 255, 1)",
  enableApi: true,
  enableControls: true,
  forceAutoplay: false,
  hideTitle: false,
  forceLoop: false
}

/** Members that are `undefined` change nothing. */
const given = (settings: Settings): Settings =>
  Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined))

const logoOf = (playerId: string) => `/player/${playerId}/logo`

export const make = ({ files, now, origin }: World) => {
  const players = new Map<string, Player>()

  const show = ({ createdAt, logo, playerId, settings, updatedAt }: Player): Json => ({
    playerId,
    createdAt: atom(createdAt),
    updatedAt: atom(updatedAt),
    ...settings,
    ...(logo === undefined
      ? {}
      : {
          assets: { logo: `${origin}${logoOf(playerId)}`, ...(logo.link === undefined ? {} : { link: logo.link }) }
        })
  })

  const withPlayer = (playerId: string, use: (player: Player) => Reply): Reply => {
    const player = players.get(playerId)
    return player === undefined ? notFound("playerId") : use(player)
  }

  const touch = (player: Player): Json => {
    player.updatedAt = now()
    return show(player)
  }

  const handlers: Handlers<typeof routes> = {
    list: ({ query, url }) => {
      const valueOf = (player: Player, key: "name" | "createdAt" | "updatedAt") =>
        key === "name" ? (player.settings.name ?? "") : player[key]
      return page(sorted([...players.values()], query, valueOf), query, { origin, url }, show)
    },
    create: ({ body }) => {
      const createdAt = now()
      const settings = { ...defaults, ...given(body) }
      const player: Player = { playerId: identifier("pl"), createdAt, updatedAt: createdAt, settings, logo: undefined }
      players.set(player.playerId, player)
      return show(player)
    },
    get: ({ params }) => withPlayer(params.playerId, show),
    update: ({ body, params }) =>
      withPlayer(params.playerId, (player) => {
        player.settings = { ...player.settings, ...given(body) }
        return touch(player)
      }),
    remove: ({ params }) =>
      withPlayer(params.playerId, ({ playerId }) => {
        players.delete(playerId)
        files.delete(logoOf(playerId))
        return undefined
      }),
    uploadLogo: ({ file, form, params }) =>
      withPlayer(params.playerId, (player) => {
        files.set(logoOf(player.playerId), file)
        player.logo = { link: form.link }
        return touch(player)
      }),
    deleteLogo: ({ params }) =>
      withPlayer(params.playerId, (player) => {
        player.logo = undefined
        files.delete(logoOf(player.playerId))
        player.updatedAt = now()
        return undefined
      })
  }
  return { handlers, has: (playerId: string): boolean => players.has(playerId) }
}
