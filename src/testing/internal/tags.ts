/** The tags of the sandboxed api.video's videos. */
import type * as routes from "../../api-video/shared/routes/tags.ts"
import type { Handlers } from "./input.ts"
import { page, sorted } from "./pages.ts"
import type { Videos } from "./videos.ts"
import type { World } from "./world.ts"

/** Without case and accents, which a search ignores (api.video OpenAPI, `LIST-tags`). */
const fold = (text: string): string =>
  text
    .normalize("NFD")
    .replaceAll(/\p{Mn}/gu, "")
    .toLowerCase()

export const make = ({ origin }: World, videos: Pick<Videos, "all">) => {
  const handlers: Handlers<typeof routes> = {
    list: ({ query, url }) => {
      const counts = new Map<string, number>()
      for (const { tags } of videos.all()) {
        for (const tag of new Set(tags)) counts.set(tag, (counts.get(tag) ?? 0) + 1)
      }
      const wanted = fold(query.value ?? "")
      const found = [...counts].flatMap(([value, videoCount]) =>
        fold(value).includes(wanted) ? [{ value, videoCount }] : []
      )
      const byValue = sorted(found, { sortBy: "value" }, (tag) => tag.value)
      const order = { ...query, sortBy: query.sortBy ?? "value" }
      return page(
        sorted(byValue, order, (tag, key) => tag[key]),
        query,
        { origin, url },
        (tag) => tag
      )
    }
  }
  return { handlers }
}
