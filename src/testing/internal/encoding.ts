/** How a source becomes a video: it is ingested or uploaded, then its qualities are encoded one after the other. */
import type { Json } from "../SandboxRequest.ts"
import { duration, type ResourceSettings } from "./world.ts"

const heights = { "240p": 240, "360p": 360, "480p": 480, "720p": 720, "1080p": 1080 }

/** One quality. Times in epoch milliseconds. */
interface Quality {
  readonly type: "hls" | "mp4"
  readonly quality: string
  readonly startsAt: number
  readonly endsAt: number
}

/** The encoding of one source, planned when the source is announced. */
export interface Encoding {
  /** When the source is complete. */
  readonly ingestedAt: number
  /** When the last quality is encoded. */
  readonly endsAt: number
  readonly qualities: ReadonlyArray<Quality>
  readonly fails: boolean
  /** In seconds. */
  readonly duration: number
}

/** `HH:MM:SS`, with milliseconds or frames, or seconds. Frames don't count. */
const secondsOf = (timecode: string): number =>
  timecode
    .split(":")
    .slice(0, 3)
    .reduce((seconds, part) => seconds * 60 + Number(part), 0)

export interface Clip {
  readonly startTimecode?: string | undefined
  readonly endTimecode?: string | undefined
}

const lengthOf = ({ endTimecode, startTimecode }: Clip): number => {
  const start = startTimecode === undefined ? 0 : secondsOf(startTimecode)
  const end = endTimecode === undefined ? duration : secondsOf(endTimecode)
  return Math.max(0, Math.min(end, duration) - start)
}

/** First all qualities wait; each is then encoded in an equal share of the time. */
export const plan = (
  ingestedAt: number,
  { encodingTime, failsEncoding }: ResourceSettings,
  { clip = {}, mp4Support }: { readonly clip?: Clip | undefined; readonly mp4Support: boolean }
): Encoding => {
  const kinds = [
    ...Object.keys(heights).map((quality) => ({ type: "hls" as const, quality })),
    ...(mp4Support ? [{ type: "mp4" as const, quality: "1080p" }] : [])
  ]
  const share = encodingTime / (kinds.length + 1)
  const qualities = kinds.map(({ quality, type }, index) => ({
    type,
    quality,
    startsAt: ingestedAt + share * (index + 1),
    endsAt: index === kinds.length - 1 ? ingestedAt + encodingTime : ingestedAt + share * (index + 2)
  }))
  return { ingestedAt, endsAt: ingestedAt + encodingTime, qualities, fails: failsEncoding, duration: lengthOf(clip) }
}

const statusOf = ({ endsAt, startsAt }: Quality, fails: boolean, now: number) =>
  now >= endsAt ? (fails ? "failed" : "encoded") : now >= startsAt ? "encoding" : "waiting"

/** The member `encoding` of a video's status. A video can be played as soon as it has one quality. */
export const show = (encoding: Encoding | undefined, now: number): Json => {
  if (encoding === undefined || now < encoding.ingestedAt) return { playable: false, qualities: [], metadata: null }
  const qualities = encoding.qualities.map((quality) => ({
    type: quality.type,
    quality: quality.quality,
    status: statusOf(quality, encoding.fails, now)
  }))
  const playable = qualities.some(({ status, type }) => type === "hls" && status === "encoded")
  const metadata = {
    width: 1920,
    height: 1080,
    bitrate: 2_411.218,
    duration: encoding.duration,
    framerate: 25,
    samplerate: 48_000,
    videoCodec: "h264",
    audioCodec: "aac",
    aspectRatio: "16/9"
  }
  return { playable, qualities, metadata: playable ? metadata : null }
}
