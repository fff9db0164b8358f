/** The fields of a row as it is stored by a store that keeps it as a whole. */
import * as Schema from "effect/Schema"
import { emptyRow } from "../../token/shared/storeRow.ts"
import type { Row } from "../../token/TokenStore.ts"

export const storedRow = {
  revision: Schema.Int,
  epoch: Schema.Int,
  version: Schema.Int,
  loginVersion: Schema.Int,
  record: Schema.optional(Schema.String),
  committedBy: Schema.optional(Schema.String),
  sent: Schema.optional(Schema.Struct({ attempt: Schema.String, at: Schema.Finite })),
  lease: Schema.optional(
    Schema.Struct({
      attempt: Schema.String,
      beat: Schema.Int,
      at: Schema.Finite,
      sending: Schema.optional(Schema.Literals(["login", "refresh"])),
      pid: Schema.optional(Schema.Int)
    })
  )
}

const StoredRow = /* @__PURE__ */ Schema.Struct(storedRow)

/** A row, with the fields that were left out. */
export const toRow = (stored: typeof StoredRow.Type): Row<string> => ({
  ...emptyRow,
  ...stored,
  lease: stored.lease && { sending: undefined, ...stored.lease }
})
