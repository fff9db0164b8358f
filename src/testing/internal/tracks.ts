/** Captions and chapters of the sandboxed api.video's videos: one file per language. */
import type * as captionRoutes from "../../api-video/shared/routes/captions.ts"
import type * as chapterRoutes from "../../api-video/shared/routes/chapters.ts"
import * as SandboxProblem from "../SandboxProblem.ts"
import type { Json } from "../SandboxRequest.ts"
import type { Handlers } from "./input.ts"
import { page } from "./pages.ts"
import { notFound, type Reply } from "./reply.ts"
import type { Track, Video, Videos } from "./videos.ts"
import { identifier, type World } from "./world.ts"

/** Name of a language in that language; undefined: there is no such language. */
const nameOf = (language: string): string | undefined => {
  try {
    return new Intl.DisplayNames([language], { type: "language", fallback: "none" }).of(language)
  } catch {
    return undefined
  }
}

const invalidLanguage = () =>
  SandboxProblem.response("invalid-attribute", {
    name: "language",
    detail: 'The "language" attribute is not valid.'
  })

type Kind = "captions" | "chapters"

export const make = ({ emit, now, origin }: World, videos: Pick<Videos, "afterEncoding" | "withVideo">) => {
  const fileOf = (kind: Kind, { videoId }: Video, language: string) => ({
    uri: `/videos/${videoId}/${kind}/${language}`,
    src: `${origin}/vod/${videoId}/${kind}/${language}.vtt`
  })
  const showCaption = (video: Video, { default: isDefault, language }: Track): Json => ({
    ...fileOf("captions", video, language),
    srclang: language,
    languageName: nameOf(language) ?? language,
    default: isDefault
  })
  const showChapter = (video: Video, { language }: Track): Json => ({
    ...fileOf("chapters", video, language),
    language
  })
  const shows = { captions: showCaption, chapters: showChapter }

  interface Params {
    readonly videoId: string
    readonly language: string
  }

  const withTrack = (kind: Kind, { language, videoId }: Params, use: (track: Track, video: Video) => Reply): Reply =>
    videos.withVideo(videoId, (video) => {
      const track = video[kind].get(language)
      return track === undefined ? notFound("language") : use(track, video)
    })

  const put = (kind: Kind, video: Video, language: string): Json => {
    const track = video[kind].get(language) ?? { language, default: false }
    video[kind].set(language, track)
    return shows[kind](video, track)
  }

  const handlersOf = (kind: Kind) => ({
    list: ({
      params,
      query,
      url
    }: {
      readonly params: Pick<Params, "videoId">
      readonly query: { readonly currentPage?: number | undefined; readonly pageSize?: number | undefined }
      readonly url: string
    }): Reply =>
      videos.withVideo(params.videoId, (video) =>
        page([...video[kind].values()], query, { origin, url }, (track) => shows[kind](video, track))
      ),
    get: ({ params }: { readonly params: Params }): Reply =>
      withTrack(kind, params, (track, video) => shows[kind](video, track)),
    upload: ({ params }: { readonly params: Params }): Reply =>
      videos.withVideo(params.videoId, (video) =>
        nameOf(params.language) === undefined ? invalidLanguage() : put(kind, video, params.language)
      ),
    remove: ({ params }: { readonly params: Params }): Reply =>
      withTrack(kind, params, ({ language }, video) => {
        video[kind].delete(language)
        return undefined
      })
  })

  const captions: Handlers<typeof captionRoutes> = {
    ...handlersOf("captions"),
    update: ({ body, params }) =>
      withTrack("captions", params, (track, video) => {
        // The player shows the captions of one language by default.
        if (body.default === true) for (const other of video.captions.values()) other.default = false
        track.default = body.default ?? track.default
        return showCaption(video, track)
      })
  }
  const chapters: Handlers<typeof chapterRoutes> = handlersOf("chapters")

  return {
    captions,
    chapters,
    /** Transcribes a video once it is encoded. Its language is English unless the request names another. */
    transcribe: (video: Video, language: string | undefined): void =>
      videos.afterEncoding(video, () => {
        if (video.language === undefined) video.languageOrigin = "auto"
        const spoken = language ?? (video.language ??= "en")
        put("captions", video, spoken)
        emit({
          type: "video.caption.generated",
          emittedAt: new Date(now()).toISOString(),
          videoId: video.videoId,
          captionId: identifier("caption_"),
          generationMode: "transcript",
          language: spoken
        })
      })
  }
}
