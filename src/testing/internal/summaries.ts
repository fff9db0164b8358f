/** The summaries of the sandboxed api.video's videos. */
import type * as routes from "../../api-video/shared/routes/summaries.ts"
import * as SandboxProblem from "../SandboxProblem.ts"
import type { Json } from "../SandboxRequest.ts"
import type { Handlers } from "./input.ts"
import { page, sorted } from "./pages.ts"
import { notFound, type Reply } from "./reply.ts"
import type { Video, Videos } from "./videos.ts"
import { atom, identifier, type World } from "./world.ts"

interface Summary {
  readonly summaryId: string
  readonly videoId: string
  readonly createdAt: number
  readonly origin: "api" | "auto"
  updatedAt: number
  sourceStatus: "missing" | "waiting" | "completed"
  abstract: string | undefined
  takeaways: ReadonlyArray<string> | undefined
}

const conflict = (name?: string) =>
  SandboxProblem.response("summary-already-exists", {
    detail: "You can delete the existing summary and generate a new one.",
    ...(name === undefined ? {} : { name })
  })

/** Of 20 words, as the shortest of api.video's. */
const abstractOf = ({ title }: Video): string =>
  `This video, ${title}, introduces its subject, explains the main idea step by step, and ends with a short summary of it.`

const takeawaysOf = ({ title }: Video): ReadonlyArray<string> => [
  `${title} introduces its subject.`,
  "The main idea is explained step by step.",
  "The video ends with a short summary."
]

export const make = ({ emit, now, origin }: World, videos: Pick<Videos, "afterEncoding" | "withVideo">) => {
  const summaries = new Map<string, Summary>()

  const show = ({ createdAt, origin, sourceStatus, summaryId, updatedAt, videoId }: Summary): Json => ({
    summaryId,
    createdAt: atom(createdAt),
    updatedAt: atom(updatedAt),
    videoId,
    origin,
    sourceStatus
  })
  const showSource = ({ abstract, takeaways }: Summary): Json => ({
    abstract: abstract ?? null,
    takeaways: takeaways ?? null
  })

  /** A summary of a video, unless it has one. */
  const add = (
    video: Video,
    origin: "api" | "auto",
    attributes: ReadonlyArray<string> = ["abstract", "takeaways"]
  ): Summary | undefined => {
    if ([...summaries.values()].some(({ videoId }) => videoId === video.videoId)) return undefined
    const createdAt = now()
    const summary: Summary = {
      summaryId: identifier("summary_"),
      videoId: video.videoId,
      createdAt,
      updatedAt: createdAt,
      origin,
      sourceStatus: origin === "auto" ? "waiting" : "missing",
      abstract: undefined,
      takeaways: undefined
    }
    summaries.set(summary.summaryId, summary)
    if (origin === "auto") {
      videos.afterEncoding(video, () => {
        if (!summaries.has(summary.summaryId)) return
        summary.updatedAt = now()
        summary.sourceStatus = "completed"
        if (attributes.includes("abstract")) summary.abstract = abstractOf(video)
        if (attributes.includes("takeaways")) summary.takeaways = takeawaysOf(video)
        emit({
          type: "video.summary.generated",
          emittedAt: new Date(now()).toISOString(),
          videoId: video.videoId,
          summaryId: summary.summaryId
        })
      })
    }
    return summary
  }

  const withSummary = (summaryId: string, use: (summary: Summary) => Reply): Reply => {
    const summary = summaries.get(summaryId)
    return summary === undefined ? notFound("summaryId") : use(summary)
  }

  const handlers: Handlers<typeof routes> = {
    list: ({ query, url }) => {
      const found = [...summaries.values()].filter(
        (summary) =>
          (query.videoId === undefined || summary.videoId === query.videoId) &&
          (query.origin === undefined || summary.origin === query.origin) &&
          (query.sourceStatus === undefined || summary.sourceStatus === query.sourceStatus)
      )
      return page(
        sorted(found, query, (summary, key) => summary[key]),
        query,
        { origin, url },
        show
      )
    },
    create: ({ body }) =>
      videos.withVideo(body.videoId, (video) => {
        const summary = add(video, body.origin ?? "api", body.attributes)
        return summary === undefined ? conflict("videoId") : show(summary)
      }),
    getSource: ({ params }) => withSummary(params.summaryId, showSource),
    updateSource: ({ body, params }) =>
      withSummary(params.summaryId, (summary) => {
        if (summary.sourceStatus === "waiting") return conflict()
        summary.abstract = body.abstract ?? summary.abstract
        summary.takeaways = body.takeaways ?? summary.takeaways
        summary.sourceStatus = "completed"
        summary.updatedAt = now()
        return showSource(summary)
      }),
    remove: ({ params }) =>
      withSummary(params.summaryId, ({ summaryId }) => {
        summaries.delete(summaryId)
        return undefined
      })
  }

  return {
    handlers,
    summarize: (video: Video, attributes: ReadonlyArray<string> | undefined): boolean =>
      add(video, "auto", attributes) !== undefined
  }
}
