/** The decisions of the protocol, as functions of what was read and what this process knows. */
import { type AccessToken, isSameCredential } from "../AccessToken.ts"
import type { Known, Renewal, RowLease, Snapshot } from "../shared/storeModel.ts"
import { AmbiguousExchange, InteractionRequired } from "../TokenError.ts"

/** A lease whose instant is this far away from the store's present was left behind, or the store's clock was set. */
const abandonedAfter = 30_000

/** What a waiter has seen of somebody else's lease. */
export interface Watch {
  readonly lease: RowLease
  /** When it was first seen in this state, on this process' monotonic clock. */
  readonly since: number
  /** How often it was seen in this state after that. */
  readonly reads: number
}

/** Keeps watching a lease, or begins to. */
export const watchLease = (before: Watch | undefined, { lease }: Snapshot, now: number): Watch | undefined =>
  lease === undefined
    ? undefined
    : before !== undefined && before.lease.attempt === lease.attempt && before.lease.beat === lease.beat
      ? { ...before, lease, reads: before.reads + 1 }
      : { lease, since: now, reads: 0 }

/** A credential that this process got and the store may not have. */
export interface Own {
  readonly attempt: string
  readonly token: AccessToken
  /** The version, and what belongs to it, from which the exchange started. */
  readonly version: number
  readonly loginVersion: number
  readonly epoch: number | undefined
  /** A login was made since that version. */
  readonly isLogin: boolean
  /** A login ends earlier refresh tokens. */
  readonly supersedes: boolean
  /** A commit was asked for, so another process may have adopted it: its refresh token is not sent from here. */
  isAsked: boolean
  /** Its refresh token may have been sent from here. */
  isSent: boolean
}

export type Plan =
  | { readonly _tag: "Adopt"; readonly token: AccessToken; readonly known: Known }
  /** The store was set back, and this process has a later credential. */
  | { readonly _tag: "Restore"; readonly own: Omit<Own, "attempt"> }
  | { readonly _tag: "Wait"; readonly watch: Watch }
  | { readonly _tag: "Exchange"; readonly token: AccessToken | undefined; readonly isSent: boolean }
  | { readonly _tag: "Fail"; readonly reason: AmbiguousExchange | InteractionRequired }

/** Milliseconds: of the lease, on the monotonic clock, and on the wall clock. */
export interface Times {
  readonly lease: number
  readonly now: number
  readonly wall: number
}

/** The same access token, which lives no longer: this process committed it. */
const isKnown = (record: AccessToken, known: AccessToken | undefined) =>
  known !== undefined && isSameCredential(record, known) && record.expiresAt <= known.expiresAt + 1_000

const isOver = ({ lease: { at, isDead }, reads, since }: Watch, row: Snapshot, { lease, now }: Times) =>
  isDead === true || now - since >= lease || (reads > 0 && Math.abs(row.now - at) > Math.max(abandonedAfter, 2 * lease))

/** Decides what to do about a row. */
export const decide = (
  row: Snapshot,
  { canLogIn, exchangeTimeout, known, rotates, seed }: Omit<Renewal, "exchange">,
  watch: Watch | undefined,
  times: Times
): Plan => {
  const { epoch, loginVersion, record, sent, version } = row
  const isSetBack = version < known.version
  if (isSetBack && known.token !== undefined && !known.isPrivate && !known.isSent) {
    const own = { ...known, token: known.token, version, epoch, isLogin: false, supersedes: false, isAsked: true }
    return { _tag: "Restore", own }
  }
  if (
    record !== undefined &&
    version > known.version &&
    record.expiresAt > times.wall &&
    !isKnown(record, known.token)
  ) {
    const adopted = { version, loginVersion, epoch, token: record, isPrivate: false, isSent: false }
    return { _tag: "Adopt", token: record, known: adopted }
  }
  const token = record ?? (version === 0 ? seed : undefined)
  const isSent = rotates && (sent !== undefined || isSetBack)
  const isUseless = !canLogIn && (token?.refreshToken === undefined || isSent)
  // Without a lease, or a refresh token that somebody else may be exchanging, there is nothing to wait for.
  if (watch !== undefined && !isOver(watch, row, times) && !(isUseless && sent === undefined)) {
    return { _tag: "Wait", watch }
  }
  if (!isUseless) return { _tag: "Exchange", token, isSent }
  // The holder may still commit, for as long as its exchange can take.
  const isOpen = sent !== undefined && Math.abs(row.now - sent.at) < exchangeTimeout
  if (isOpen) return { _tag: "Fail", reason: new AmbiguousExchange({}) }
  // A record that cannot be read was committed, too.
  const isUnknown = token === undefined && row.committedBy === undefined && known.token === undefined
  return { _tag: "Fail", reason: new InteractionRequired({ session: isUnknown ? "none" : "ended" }) }
}

/**
 * The version at which a credential may still be committed though the version from which it came doesn't stand any more:
 *
 * - A store that was set back has none of what came after.
 * - A login ended the refresh tokens of every record that descends from that version by refreshes only.
 */
export const rebasedVersion = (own: Own, row: Snapshot): number | undefined =>
  row.version < own.version ||
  (own.isLogin &&
    own.supersedes &&
    row.epoch === own.epoch &&
    row.record !== undefined &&
    row.loginVersion <= own.version)
    ? row.version
    : undefined
