/** Lists: filtered and sorted by their callers' words, and cut into pages with links. */
import type { Json } from "../SandboxRequest.ts"

export interface Paging {
  readonly currentPage?: number | undefined
  readonly pageSize?: number | undefined
}

export interface Sorting<Key extends string> {
  readonly sortBy?: Key | undefined
  readonly sortOrder?: "asc" | "desc" | undefined
}

/** By code units: no locale of the machine decides. */
export const compare = (a: string | number, b: string | number): number => (a < b ? -1 : a > b ? 1 : 0)

/**
 * Sorts a list that is in order of creation, which is the order without `sortBy`. Items that compare alike stay in that
 * order, so that pages neither repeat nor miss any. A descending list is the ascending one backwards.
 */
export const sorted = <A, Key extends string>(
  items: ReadonlyArray<A>,
  { sortBy, sortOrder = "asc" }: Sorting<Key>,
  valueOf: (item: A, key: Key) => string | number
): ReadonlyArray<A> => {
  const isInOrder = sortBy === undefined || sortBy === "createdAt"
  const ascending = isInOrder ? items : items.toSorted((a, b) => compare(valueOf(a, sortBy), valueOf(b, sortBy)))
  return sortOrder === "asc" ? ascending : ascending.toReversed()
}

/** Items that stay in order while some come and go, so that no list needs to sort them. No two of them compare alike. */
export const makeOrder = <A>(compare: (a: A, b: A) => number) => {
  const items: Array<A> = []
  const placeOf = (item: A): number => {
    let [low, high] = [0, items.length]
    while (low < high) {
      const middle = (low + high) >> 1
      const other = items[middle]
      if (other !== undefined && compare(other, item) < 0) low = middle + 1
      else high = middle
    }
    return low
  }
  return {
    items: items as ReadonlyArray<A>,
    add: (item: A): void => void items.splice(placeOf(item), 0, item),
    /** Finds it by identity, because what it is compared by may have changed. */
    remove: (item: A): void => {
      const index = items.lastIndexOf(item)
      if (index >= 0) items.splice(index, 1)
    }
  }
}

/** One page of a list. Only its items are shown. */
export const page = <A>(
  items: ReadonlyArray<A>,
  { currentPage = 1, pageSize = 25 }: Paging,
  request: { readonly origin: string; readonly url: string },
  show: (item: A) => Json
) => {
  const { pathname, searchParams } = new URL(request.url, request.origin)
  const pagesTotal = Math.max(1, Math.ceil(items.length / pageSize))
  const data = items.slice((currentPage - 1) * pageSize, currentPage * pageSize).map(show)
  const link = (rel: string, number: number, base: string) => {
    searchParams.set("currentPage", String(number))
    searchParams.set("pageSize", String(pageSize))
    return { rel, uri: `${base}${pathname}?${searchParams}` }
  }
  // Documented answers hold relative and absolute links (api.video OpenAPI): a client must resolve both.
  const links = [
    link("self", currentPage, ""),
    link("first", 1, ""),
    ...(currentPage > 1 ? [link("previous", currentPage - 1, request.origin)] : []),
    ...(currentPage < pagesTotal ? [link("next", currentPage + 1, request.origin)] : []),
    link("last", pagesTotal, "")
  ]
  return {
    data,
    pagination: {
      currentPage,
      currentPageItems: data.length,
      pageSize,
      pagesTotal,
      itemsTotal: items.length,
      links
    }
  }
}
