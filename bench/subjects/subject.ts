/** What the scenarios know of a subject: our library or a peer, each used the way its own documentation says. */

/** A subject at work on one platform, as one program would hold it. */
export interface Session {
  /** A token, from wherever the subject keeps it. Absent where it hands none out. */
  readonly getToken?: (() => Promise<unknown>) | undefined
  /** `GET /videos` with the subject's credential; rejects unless the answer is a success. */
  readonly listVideos: () => Promise<unknown>
  readonly close: () => Promise<void>
}

export interface Subject {
  readonly name: string
  /**
   * How long before expiry it wants a newer token, in seconds: its default, or what its documentation advises.
   * `undefined` where it renews only what has expired or was refused.
   */
  readonly earlyWindow: number | undefined
  /** It uses refresh tokens. */
  readonly refreshes: boolean
  /** What of it a reader must know to read its figures. */
  readonly notes: Notes
  /** How a 401 has to read for it to see that its token is no longer good. @default RFC 6750's `invalid_token` */
  readonly challenge?: string | undefined
  /** Sets it up. What it exchanges meanwhile, it would have stored from earlier. */
  readonly open: (server: string) => Promise<Session>
}

/** By scenario. */
export interface Notes {
  readonly cold?: string
  readonly rejected?: string
  readonly early?: string
  readonly down?: string
  readonly rotation?: string
}
