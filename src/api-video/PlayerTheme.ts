/**
 * Player themes: what `PlayerThemes` sends and returns.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Instant, pagingFields, SortOrder } from "./shared/schema.ts"

/** What a theme looks like and does, and can be set. Colours are as `rgba(88, 131, 255, .95)`. */
const settings = /* @__PURE__ */ (() => ({
  /** Colour of the timer. */
  text: Schema.optional(Schema.String),
  /** Colour of all controls. */
  link: Schema.optional(Schema.String),
  /** Colour of all controls under the pointer. */
  linkHover: Schema.optional(Schema.String),
  /** Colour of the play button under the pointer. */
  linkActive: Schema.optional(Schema.String),
  /** Colour of what has been played. */
  trackPlayed: Schema.optional(Schema.String),
  /** Colour of what has been loaded. */
  trackUnplayed: Schema.optional(Schema.String),
  trackBackground: Schema.optional(Schema.String),
  /** Colour of the upper half of the background. */
  backgroundTop: Schema.optional(Schema.String),
  /** Colour of the lower half of the background. */
  backgroundBottom: Schema.optional(Schema.String),
  /** Colour of the title. */
  backgroundText: Schema.optional(Schema.String),
  /** Whether the player SDK can control the player. */
  enableApi: Schema.optional(Schema.Boolean),
  enableControls: Schema.optional(Schema.Boolean),
  forceAutoplay: Schema.optional(Schema.Boolean),
  hideTitle: Schema.optional(Schema.Boolean),
  forceLoop: Schema.optional(Schema.Boolean)
}))()

/**
 * A theme of the player. Only `playerId` is certain to be there.
 *
 * @category schemas
 * @since 0.1.0
 */
export class PlayerTheme
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<PlayerTheme>()(
      Schema.Struct({
        playerId: Schema.String,
        name: Schema.optional(Schema.String),
        createdAt: Schema.optional(Instant),
        updatedAt: Schema.optional(Instant),
        ...settings,
        assets: Schema.optional(
          Schema.Struct({
            logo: Schema.optional(Schema.String),
            /** Where a click on the logo leads. */
            link: Schema.optional(Schema.String)
          })
        )
      })
    ))()
{
  declare readonly playerId: string
}

const named = /* @__PURE__ */ (() => ({
  /** At most 100 characters. */
  name: Schema.optional(Schema.String.check(Schema.isMaxLength(100))),
  ...settings
}))()

/**
 * Input of `PlayerThemes.create`.
 *
 * @category schemas
 * @since 0.1.0
 */
export class PlayerThemeCreation
  extends /* @__PURE__ */ (() => Schema.Opaque<PlayerThemeCreation>()(Schema.Struct(named)))()
{
  declare readonly name?: string | undefined
}

/**
 * Input of `PlayerThemes.update`. Fields that are left out stay as they are.
 *
 * @category schemas
 * @since 0.1.0
 */
export class PlayerThemeUpdate
  extends /* @__PURE__ */ (() => Schema.Opaque<PlayerThemeUpdate>()(Schema.Struct(named)))()
{
  declare readonly name?: string | undefined
}

/**
 * Which page of themes `PlayerThemes.list` returns, in which order.
 *
 * @category schemas
 * @since 0.1.0
 */
export class PlayerThemeQuery
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<PlayerThemeQuery>()(
      Schema.Struct({
        sortBy: Schema.optional(Schema.Literals(["name", "createdAt", "updatedAt"])),
        sortOrder: Schema.optional(SortOrder),
        ...pagingFields
      })
    ))()
{
  declare readonly currentPage?: number | undefined
}

/**
 * What `PlayerThemes.uploadLogo` sends beside the file.
 *
 * @category schemas
 * @since 0.1.0
 */
export class LogoOptions
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<LogoOptions>()(
      Schema.Struct({
        /** Where a click on the logo leads. */
        link: Schema.optional(Schema.String)
      })
    ))()
{
  declare readonly link?: string | undefined
}
