/**
 * What a store holds of one identity, and the writes of the protocol as pure functions. A backend that can compare and swap
 * a whole row (memory, files) runs these functions. Redis and PostgreSQL do the same in a script and in statements; the
 * contract tests compare them with this module.
 *
 * Each function returns the row after the write and whether the write was granted. A row that is returned unchanged (the
 * same object) needs no write.
 */
import type { Claim, Commit, Row, Sending } from "./storeModel.ts"

/** The row of an identity that the store doesn't know. */
export const emptyRow: Row<never> = {
  revision: 0,
  epoch: 0,
  version: 0,
  loginVersion: 0,
  record: undefined,
  committedBy: undefined,
  sent: undefined,
  lease: undefined
}

/** The outcome of a write. */
export interface Written<Record> {
  readonly granted: boolean
  readonly row: Row<Record>
}

const refused = <R>(row: Row<R>): Written<R> => ({ granted: false, row })
const unchanged = <R>(row: Row<R>): Written<R> => ({ granted: true, row })
const changed = <R>(row: Row<R>, changes: Partial<Row<R>>): Written<R> => ({
  granted: true,
  row: { ...row, ...changes, revision: row.revision + 1 }
})

/** Takes the lease if nobody has written since the revision was read, or if this attempt has the lease already. */
export const claim = <R>(row: Row<R>, { attempt, pid, revision }: Claim, now: number): Written<R> =>
  row.lease?.attempt === attempt
    ? unchanged(row)
    : row.revision === revision
      ? changed(row, { lease: { attempt, beat: 0, at: now, sending: undefined, pid } })
      : refused(row)

/** Notes which exchange the holder is about to send, and marks a rotating refresh token as sent. */
export const sending = <R>(row: Row<R>, { attempt, kind, marks, version }: Sending, now: number): Written<R> => {
  const { lease, sent } = row
  if (lease?.attempt !== attempt || row.version !== version) return refused(row)
  if (!marks) return changed(row, { lease: { ...lease, sending: kind } })
  return sent === undefined || sent.attempt === attempt
    ? changed(row, { lease: { ...lease, sending: kind }, sent: sent ?? { attempt, at: now } })
    : refused(row)
}

/** Shows that the holder is alive. */
export const beat = <R>(row: Row<R>, attempt: string, now: number): Written<R> =>
  row.lease?.attempt === attempt
    ? changed(row, { lease: { ...row.lease, beat: row.lease.beat + 1, at: now } })
    : refused(row)

/** Replaces the record if the version still stands, whoever has the lease. */
export const commit = <R>(row: Row<R>, options: Commit<R>): Written<R> => {
  const { attempt, loginVersion, next, record, version } = options
  if (row.committedBy === attempt && row.version === next) return unchanged(row)
  return row.version === version
    ? changed(row, {
        version: next,
        loginVersion,
        record,
        committedBy: attempt,
        sent: undefined,
        lease: undefined
      })
    : refused(row)
}

/**
 * Ends the lease of this attempt. `unused` also takes back its mark, even after a takeover. Otherwise the mark stays, and
 * says that there is no response to wait for any more.
 */
export const release = <R>(row: Row<R>, attempt: string, unused: boolean): Written<R> => {
  const lease = row.lease?.attempt === attempt ? undefined : row.lease
  const sent = row.sent?.attempt !== attempt ? row.sent : unused ? undefined : over(row.sent)
  return lease === row.lease && sent === row.sent ? unchanged(row) : changed(row, { lease, sent })
}

const over = (sent: NonNullable<Row["sent"]>) => (sent.at === 0 ? sent : { ...sent, at: 0 })

/** Removes everything, in the given epoch only: a sign-out that is repeated doesn't end a later session. */
export const clear = <R>(row: Row<R>, epoch: number): Written<R> =>
  row.revision === 0 || row.epoch > epoch
    ? unchanged(row)
    : changed(row, {
        epoch: epoch + 1,
        version: row.version + 1,
        loginVersion: 0,
        record: undefined,
        committedBy: undefined,
        sent: undefined,
        lease: undefined
      })
