/** What the resources of one start of the sandboxed api.video share. */
import type { Json } from "../SandboxRequest.ts"
import { randomHex } from "../SandboxTokens.ts"

/** Switches that concern resources. Times are in milliseconds. */
export interface ResourceSettings {
  /** Of every part except the last, in bytes. */
  readonly minimumPartSize: number
  /** From the end of an upload until all qualities are encoded; captions and summaries take as long again. */
  readonly encodingTime: number
  /** From the creation of a video with a `source` until it is there. */
  readonly ingestTime: number
  readonly failsEncoding: boolean
  readonly videoRestore: boolean
}

export interface World {
  /** Of the sandbox; assets are there. */
  readonly origin: string
  /** Epoch milliseconds. */
  readonly now: () => number
  readonly settings: () => ResourceSettings
  /** Keeps a secret out of the ledger. */
  readonly conceal: (secret: string) => void
  /** Uploaded files that the delivery server has, by their path there: `/vod/vi…/thumbnail.jpg`. */
  readonly files: Map<string, File>
  /** Passes on what webhooks are called for. */
  readonly emit: (event: Json & { readonly type: string }) => void
  /** Does something at an instant, or now if it is past. */
  readonly at: (instant: number, action: () => void) => void
}

/** Dates are "ATOM UTC": an offset instead of Z, and no fraction (api.video OpenAPI). */
export const atom = (millis: number) => new Date(millis).toISOString().replace(/\.\d+Z$/, "+00:00")

export const identifier = (prefix: string) => prefix + randomHex(11)

/** Seconds that every video of the sandbox lasts, unless it is a clip. Longer ones are cut (api.video, "Environments"). */
export const duration = 30
