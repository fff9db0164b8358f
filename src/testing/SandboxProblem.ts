/**
 * Refusals of the sandboxed api.video: problem documents (RFC 7807, `application/problem+json`), with the slugs, titles and
 * statuses of api.video's documentation ("errors", "general errors", "video upload errors",
 * "progressive upload errors").
 */
import * as HttpServerResponse from "effect/http/HttpServerResponse"

const documented = {
  "attribute-required": [400, "This attribute is required."],
  "authentication-invalid-access-token": [401, "The access token is invalid or expired."],
  "authentication-invalid-api-key": [401, "The API key is invalid."],
  "authentication-invalid-authorization-header-value": [401, 'The "Authorization" header value is invalid.'],
  "authentication-invalid-upload-token": [401, "The upload token is invalid or expired."],
  "authentication-invalid-user-credentials": [400, "The user credentials were incorrect."],
  "authentication-missing-authorization-header": [401, 'The "Authorization" header is missing.'],
  "authentication-missing-upload-token": [401, "The upload token is missing."],
  "authorization-suspended-account": [403, "Suspended account"],
  "invalid-attribute": [400, "An attribute is invalid."],
  "invalid-payload": [400, "The payload is invalid."],
  "method-not-allowed": [405, "Method is not allowed for this route."],
  "request-invalid-query-parameter": [400, "A query parameter is invalid."],
  "resource-not-found": [404, "The requested resource was not found."],
  "summary-already-exists": [409, "A summary already exists or is being created on this video."],
  "too-many-requests": [429, "Too many requests."],
  "unrecognized-request-url": [404, "Unrecognized request URL."],
  "uploaded-file-empty": [400, "The uploaded file is empty."],
  "uploaded-file-extension-invalid": [400, "The extension of the uploaded file is invalid."],
  "uploaded-file-multiple-files": [400, "There are more than one uploaded file in the request."],
  "uploaded-file-no-file": [400, "There is no uploaded file in the request."],
  "uploaded-file-too-large": [400, "The uploaded file is too large."],
  "video-content-range-already-initiated": [
    400,
    'This video source has already been initiated with a "Content-Range" upload.'
  ],
  "video-content-range-by-bytes-different-total-bytes": [
    400,
    'The "total_bytes" value in the "Content-Range" header must be the same than the one you already set for this video.'
  ],
  "video-content-range-by-bytes-from-byte-too-high": [
    400,
    'The "from_byte" value in the "Content-Range" header is higher than the "to_byte" value.'
  ],
  "video-content-range-by-bytes-range-mismatch": [
    400,
    'The size of the file you sent is different than the range length you set in the "Content-Range" header.'
  ],
  "video-content-range-by-bytes-range-overlap": [
    400,
    'The range in the "Content-Range" header overlaps with a previous one you already sent for this video.'
  ],
  "video-content-range-by-bytes-range-too-small": [400, 'The range in the "Content-Range" header is too small.'],
  "video-content-range-by-bytes-to-byte-too-high-total": [
    400,
    'The "to_byte" value in the "Content-Range" header is higher than the "total_bytes" value you set for this video.'
  ],
  "video-content-range-by-bytes-total-bytes-zero": [
    400,
    'The "total_bytes" value in the "Content-Range" header must be greater than 0.'
  ],
  "video-content-range-by-part-different-total-parts": [
    400,
    'The "total_parts" value in the "Content-Range" header must be the same than the one you already set for this video.'
  ],
  "video-content-range-by-part-part-already-sent": [
    400,
    'The "part" value in the "Content-Range" header collides with a previous one you already sent for this video.'
  ],
  "video-content-range-by-part-part-too-high-allowed": [
    400,
    'The "part" value in the "Content-Range" header is higher than the maximum number of parts allowed for a video.'
  ],
  "video-content-range-by-part-part-too-high-total": [
    400,
    'The "part" value in the "Content-Range" header is higher than the "total_parts" value you set for this video.'
  ],
  "video-content-range-by-part-part-zero": [
    400,
    'The "part" value in the "Content-Range" header must be greater than 0.'
  ],
  "video-content-range-by-part-total-parts-too-low": [
    400,
    'The "total_parts" value in the "Content-Range" header is lower than or equal to a part number you already sent for this video.'
  ],
  "video-content-range-by-part-total-parts-zero": [
    400,
    'The "total_parts" value in the "Content-Range" header must be greater than 0.'
  ],
  "video-content-range-by-part-uploaded-file-too-small": [400, "The uploaded file is too small."],
  "video-content-range-malformed": [
    400,
    'The value of the "Content-Range" header is malformed, the expected format is "bytes <from_byte>-<to_byte>/<total_bytes>" or "part <part>/<total_parts>".'
  ],
  "video-content-range-started-with-bytes": [
    400,
    'This "Content-Range" upload has been started with "bytes", you cannot continue it with "part".'
  ],
  "video-content-range-started-with-part": [
    400,
    'This "Content-Range" upload has been started with "part", you cannot continue it with "bytes".'
  ],
  "video-source-already-copied": [400, "This video source has already been copied."],
  "video-source-already-downloaded": [400, "This video source has already been downloaded."],
  "video-source-already-uploaded": [400, "This video source has already been uploaded."]
} as const satisfies Record<string, readonly [status: number, title: string]>

/** The last segment of a problem's `type`, `https://docs.api.video/reference/<slug>` (api.video documentation, errors). */
export type Slug = keyof typeof documented

/** What a problem may carry besides type, title and status (api.video documentation, errors; OpenAPI `bad-request`). */
export interface Details {
  readonly name?: string
  readonly title?: string
  readonly detail?: string
  readonly range?: { readonly min?: number; readonly max?: number }
  readonly problems?: ReadonlyArray<object>
}

/** The JSON of a documented problem; `details` may replace the title, as `invalid-attribute` does per attribute. */
export const document = (slug: Slug, details: Details = {}) => {
  const [status, title] = documented[slug]
  return { type: `https://docs.api.video/reference/${slug}`, title, ...details, status }
}

/** A documented problem as an answer. */
export const response = (slug: Slug, details?: Details): HttpServerResponse.HttpServerResponse =>
  untyped(document(slug, details))

/** Any problem as an answer: the documented ones without a `type`, and forged ones. */
export const untyped = (body: { readonly status: number; readonly title: string } & Details) =>
  HttpServerResponse.jsonUnsafe(body, { status: body.status, contentType: "application/problem+json" })
