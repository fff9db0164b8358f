export * as ApiVideo from "./ApiVideo.ts"
export * as ApiVideoError from "./ApiVideoError.ts"
