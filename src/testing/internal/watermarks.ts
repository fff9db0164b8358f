/** The watermarks of the sandboxed api.video. */
import type * as routes from "../../api-video/shared/routes/watermarks.ts"
import type { Json } from "../SandboxRequest.ts"
import type { Handlers } from "./input.ts"
import { page, sorted } from "./pages.ts"
import { notFound } from "./reply.ts"
import { atom, identifier, type World } from "./world.ts"

interface Watermark {
  readonly watermarkId: string
  readonly createdAt: number
}

const show = ({ createdAt, watermarkId }: Watermark): Json => ({ watermarkId, createdAt: atom(createdAt) })

export const make = ({ now, origin }: World) => {
  const watermarks = new Map<string, Watermark>()
  const handlers: Handlers<typeof routes> = {
    list: ({ query, url }) =>
      page(
        sorted([...watermarks.values()], query, ({ createdAt }) => createdAt),
        query,
        { origin, url },
        show
      ),
    upload: () => {
      const watermark = { watermarkId: identifier("watermark_"), createdAt: now() }
      watermarks.set(watermark.watermarkId, watermark)
      return show(watermark)
    },
    remove: ({ params }) => (watermarks.delete(params.watermarkId) ? undefined : notFound("watermarkId"))
  }
  return { handlers, has: (watermarkId: string): boolean => watermarks.has(watermarkId) }
}
