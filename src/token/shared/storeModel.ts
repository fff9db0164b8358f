/**
 * The types of the store's protocol, for the modules that implement it. `TokenStore.ts` publishes them.
 */
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type { AccessToken } from "../AccessToken.ts"
import type { RenewalReason, StoreUnavailable } from "../TokenError.ts"

/**
 * What an exchange with the platform is.
 *
 * @category models
 * @since 0.1.0
 */
export type ExchangeKind = "login" | "refresh"

/**
 * What a store holds of one identity. A row is never deleted, and its numbers only grow.
 *
 * @category models
 * @since 0.1.0
 */
export interface Row<Record = AccessToken> {
  /** Counts the writes. A claim is granted only on the revision that was read. */
  readonly revision: number
  /** Counts the sign-outs. */
  readonly epoch: number
  /** Identifies the record. A commit and a sign-out give it a higher number that was never used before. */
  readonly version: number
  /** The version of the latest login that the record descends from. */
  readonly loginVersion: number
  readonly record: Record | undefined
  /** The attempt that committed the record, so that a commit can be repeated. */
  readonly committedBy: string | undefined
  /**
   * The attempt that may have sent the record's refresh token, and when (on the store's clock). `at` is 0 once the attempt
   * has ended without a response.
   */
  readonly sent: { readonly attempt: string; readonly at: number } | undefined
  readonly lease: RowLease | undefined
}

/**
 * The lease of the attempt that is renewing.
 *
 * @category models
 * @since 0.1.0
 */
export interface RowLease {
  readonly attempt: string
  /** Counts the signs of life of the holder. */
  readonly beat: number
  /** When the lease was taken or last extended, on the store's clock. */
  readonly at: number
  /** The exchange that the holder was about to send when it last wrote. */
  readonly sending: ExchangeKind | undefined
  /** The number of the holder's process, where processes see each other. */
  readonly pid?: number | undefined
  /** The holder's process doesn't run any more. */
  readonly isDead?: boolean | undefined
}

/**
 * A row as it was read, with the store's time in milliseconds. Instants of the record are on this process' clock.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot<Record = AccessToken> extends Row<Record> {
  readonly now: number
}

/**
 * Asks for the lease.
 *
 * @category models
 * @since 0.1.0
 */
export interface Claim {
  /** Names this attempt: 128 random bits. */
  readonly attempt: string
  /** The revision that was read. */
  readonly revision: number
  /** The number of this process, where processes see each other. */
  readonly pid?: number | undefined
}

/**
 * Announces an exchange before it is sent.
 *
 * @category models
 * @since 0.1.0
 */
export interface Sending {
  readonly attempt: string
  readonly version: number
  readonly kind: ExchangeKind
  /** The request carries a rotating refresh token, which nobody may send again. */
  readonly marks: boolean
}

/**
 * Replaces the record.
 *
 * @category models
 * @since 0.1.0
 */
export interface Commit<Record = AccessToken> {
  readonly attempt: string
  /** The version that the record replaces. */
  readonly version: number
  /** The version of the record. */
  readonly next: number
  readonly loginVersion: number
  readonly record: Record
}

/**
 * What a backend implements: a plain read, and conditional writes that are atomic each and can be repeated. A write returns
 * whether it was granted. All instants are on the store's own clock. Each call is bounded in time by the backend.
 *
 * @category models
 * @since 0.1.0
 */
export interface Backend {
  /** Reads the row. Writes nothing. */
  readonly read: (identity: string) => Effect.Effect<Snapshot, StoreUnavailable>
  /** Gives the lease to this attempt if the revision still stands, or if the attempt has it already. */
  readonly claim: (identity: string, options: Claim) => Effect.Effect<boolean, StoreUnavailable>
  /** Granted while the attempt has the lease and the version stands; refused if another attempt set the mark. */
  readonly sending: (identity: string, options: Sending) => Effect.Effect<boolean, StoreUnavailable>
  /** Extends the lease of this attempt. */
  readonly beat: (identity: string, attempt: string) => Effect.Effect<boolean, StoreUnavailable>
  /** Granted if the version stands, whoever has the lease; ends the lease and removes the mark. */
  readonly commit: (identity: string, options: Commit) => Effect.Effect<boolean, StoreUnavailable>
  /**
   * Ends the lease of this attempt. `unused` removes its mark too, even after another attempt took the lease over; otherwise
   * the mark gets the instant 0.
   */
  readonly release: (
    identity: string,
    options: { readonly attempt: string; readonly unused: boolean }
  ) => Effect.Effect<void, StoreUnavailable>
  /** Removes the record, the mark and the lease, unless somebody has signed out since `epoch`. */
  readonly clear: (identity: string, epoch: number) => Effect.Effect<void, StoreUnavailable>
  /** Completes when the row may have changed. A hint that may come late or never; without it, waiting is polling. */
  readonly changed?: ((identity: string) => Effect.Effect<void, StoreUnavailable>) | undefined
}

/**
 * What the caller of a renewal knows of the stored credential. {@link TokenStore} returns it, and takes it back the next time.
 *
 * @category models
 * @since 0.1.0
 */
export interface Known {
  /** The highest version seen; 0 for none. */
  readonly version: number
  readonly loginVersion: number
  readonly epoch: number | undefined
  /** The credential to replace. */
  readonly token: AccessToken | undefined
  /** The credential is this process' own: the store doesn't have it, because it didn't respond. */
  readonly isPrivate: boolean
  /** Its refresh token may have been sent from here. */
  readonly isSent: boolean
}

/**
 * The right to make exchanges for one identity, for the duration of one attempt.
 *
 * @category models
 * @since 0.1.0
 */
export interface Turn {
  /** The stored credential, which may have expired. */
  readonly stored: AccessToken | undefined
  /** The refresh token of `stored` may have been sent before. */
  readonly isSent: boolean
  /** To be run before each exchange. If it fails, the exchange must not be sent. */
  readonly sending: (kind: ExchangeKind, marks: boolean) => Effect.Effect<void, TurnLost>
  /** Takes the mark back: nothing left this machine, or the platform said that it did nothing. */
  readonly unused: () => void
}

/**
 * The turn was lost, so the attempt starts over. Only the protocol makes it and handles it.
 *
 * @category errors
 * @since 0.1.0
 */
export class TurnLost extends Data.TaggedError("TurnLost")<{
  /** The store didn't respond; otherwise another process took over. */
  readonly unavailable?: StoreUnavailable | undefined
}> {}

/**
 * What an exchange under a {@link Turn} yields.
 *
 * @category models
 * @since 0.1.0
 */
export interface Exchanged {
  readonly kind: ExchangeKind
  readonly token: AccessToken
}

/**
 * What one renewal asks of a store.
 *
 * @category options
 * @since 0.1.0
 */
export interface Renewal {
  readonly known: Known
  /** The caller holds a token that is valid and was not rejected, so it can wait for a store that doesn't respond. */
  readonly isHolding: boolean
  readonly canLogIn: boolean
  /** Refresh tokens rotate: one that may have been sent is not sent again. */
  readonly rotates: boolean
  /** A login ends earlier refresh tokens. */
  readonly loginSupersedesRefresh: boolean
  /** How long an exchange takes at most, in milliseconds. */
  readonly exchangeTimeout: number
  /** Used where the store has never held a credential. */
  readonly seed?: AccessToken | undefined
  readonly exchange: (turn: Turn) => Effect.Effect<Exchanged, RenewalReason | TurnLost>
}

/**
 * What a renewal ends with.
 *
 * @category models
 * @since 0.1.0
 */
export interface Renewed {
  readonly token: AccessToken
  readonly known: Known
  /** Another process, or another service of this one, made the exchange. */
  readonly isAdopted: boolean
}
