/**
 * Pages of a list: what the 13 paginated operations return.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * Where a page is in its list. Links are left out: a program asks for the next page by its number.
 *
 * @category schemas
 * @since 0.1.0
 */
export class Pagination
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<Pagination>()(
      Schema.Struct({
        /** Counted from 1. */
        currentPage: Schema.optional(Schema.Finite),
        /** The most items that a page has. */
        pageSize: Schema.optional(Schema.Finite),
        pagesTotal: Schema.optional(Schema.Finite),
        itemsTotal: Schema.optional(Schema.Finite),
        currentPageItems: Schema.optional(Schema.Finite)
      })
    ))()
{
  declare readonly currentPage?: number | undefined
}

/**
 * One page of a list.
 *
 * @category models
 * @since 0.1.0
 */
export interface Page<out A> {
  readonly data: ReadonlyArray<A>
  readonly pagination: Pagination
}

/**
 * The query of a `stream`: that of its list, without the page, because a stream counts the pages.
 *
 * @category models
 * @since 0.1.0
 */
export type StreamQuery<Query> = Omit<Query, "currentPage">

/**
 * Makes the schema of a page of such items.
 *
 * @category schemas
 * @since 0.1.0
 */
export const pageOf = <A, E>(
  item: Schema.Codec<A, E>
): Schema.Codec<Page<A>, { readonly data: ReadonlyArray<E>; readonly pagination: typeof Pagination.Encoded }> =>
  Schema.Struct({ data: Schema.Array(item), pagination: Pagination })
