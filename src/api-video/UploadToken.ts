/**
 * Upload tokens: what `UploadTokens` sends and returns.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { between, Instant, pagingFields, secret, SortOrder } from "./shared/schema.ts"

/**
 * A token with which anybody can upload videos to the account.
 *
 * @category schemas
 * @since 0.1.0
 */
export class UploadToken
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<UploadToken>()(
      Schema.Struct({
        token: secret("upload_token"),
        /** Seconds for which it is valid; 0 for ever. */
        ttl: Schema.optional(Schema.Finite),
        createdAt: Schema.optional(Instant),
        /** Missing if it never expires. */
        expiresAt: Schema.optional(Instant)
      })
    ))()
{
  declare readonly ttl?: number | undefined
}

/**
 * Input of `UploadTokens.create`.
 *
 * @category schemas
 * @since 0.1.0
 */
export class UploadTokenCreation
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<UploadTokenCreation>()(
      Schema.Struct({
        /** Seconds, 0 to 2,147,483,647. @default 0: it never expires */
        ttl: Schema.optional(between(0, 2_147_483_647))
      })
    ))()
{
  declare readonly ttl?: number | undefined
}

/**
 * Which page of tokens `UploadTokens.list` returns, in which order.
 *
 * @category schemas
 * @since 0.1.0
 */
export class UploadTokenQuery
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<UploadTokenQuery>()(
      Schema.Struct({
        sortBy: Schema.optional(Schema.Literals(["createdAt", "ttl"])),
        sortOrder: Schema.optional(SortOrder),
        ...pagingFields
      })
    ))()
{
  declare readonly currentPage?: number | undefined
}
