/** All items of a list as a stream: pages are counted, and their links are not followed. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { ApiVideo, Call, ClientError } from "../ApiVideoClient.ts"
import type { Page } from "../Page.ts"

/** Which page to ask for. */
interface Paging {
  readonly currentPage: number
  readonly pageSize: number
}

interface Progress {
  readonly currentPage: number
  /** Ids on the page before. */
  readonly seen: ReadonlySet<unknown>
}

const nothing: ReadonlySet<unknown> = new Set()

/**
 * The list ends with an empty page, or with the last one by that page's own count: a list may grow while it is read.
 * Without a count it ends with a page that is not full.
 */
const isLast = <A>({ data, pagination }: Page<A>, currentPage: number, pageSize: number): boolean =>
  data.length === 0 ||
  (pagination.pagesTotal === undefined ? data.length < pageSize : currentPage >= pagination.pagesTotal)

/**
 * Emits the items of all pages. Of two neighbouring pages an item is emitted once: one that is added or removed meanwhile
 * moves others across the boundary. The next page is requested while the items of one are read.
 */
export const pages = <A>(
  list: (paging: Paging) => Call<Page<A>>,
  idOf: (item: A) => unknown,
  pageSize = 100
): Stream.Stream<A, ClientError, ApiVideo> =>
  Stream.paginate<Progress, A, ClientError, ApiVideo>({ currentPage: 1, seen: nothing }, ({ currentPage, seen }) =>
    Effect.map(list({ currentPage, pageSize }), (page) => {
      const emitted = new Set(seen)
      const fresh = page.data.filter((item) => {
        const id = idOf(item)
        return id === undefined || (!emitted.has(id) && emitted.add(id))
      })
      const next = { currentPage: currentPage + 1, seen: new Set(page.data.map(idOf)) }
      return [fresh, isLast(page, currentPage, pageSize) ? Option.none() : Option.some(next)]
    })
  ).pipe(Stream.bufferArray({ capacity: 0 }))
