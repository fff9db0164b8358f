/** An upload of a file, and what the journal remembers of it. */
import * as Digest from "effect/crypto/Digest"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import type { TransferOptions } from "../../Upload.ts"
import * as UploadError from "../../UploadError.ts"
import * as Journal from "./journal.ts"
import type { Source } from "./source.ts"

/** An upload of a file. */
export interface Session {
  /** Whether an earlier run began it. */
  readonly isResumed: boolean
  readonly entry: () => Journal.Entry
  readonly remember: (changes: Partial<Journal.Entry>) => Effect.Effect<void, UploadError.UploadError>
  /** Begins anew, because what the entry names is gone. */
  readonly restart: Effect.Effect<void, UploadError.UploadError>
  /** Removes the entry. */
  readonly forget: Effect.Effect<void, UploadError.UploadError>
}

/** Names the entry of an upload: its file, and what it is uploaded to. What names the target may be secret. */
const keyOf = ({ place }: Source, platform: string, target: ReadonlyArray<string>): Effect.Effect<string> => {
  const text = new TextEncoder().encode([platform, place, ...target].join("\n"))
  return Digest.Digest.use(({ digestHex }) => digestHex(Digest.sha256, text)).pipe(
    Effect.provide(Digest.layerWebCrypto)
  )
}

/** Fails if a file is not the one that the journal remembers. */
const checkUnchanged = (
  { fingerprint: { modifiedAt, size }, place: source }: Source,
  entry: Journal.Entry,
  hash: string | undefined
): Effect.Effect<void, UploadError.UploadError> => {
  const changed = (what: UploadError.SourceChanged["what"]) =>
    Effect.fail(new UploadError.UploadError({ reason: new UploadError.SourceChanged({ source, what }) }))
  if (entry.size !== size) return changed("size")
  // With a hash, a file that was only copied or touched is still the same.
  if (hash !== undefined && entry.hash !== undefined) return hash === entry.hash ? Effect.void : changed("content")
  return entry.modifiedAt === modifiedAt ? Effect.void : changed("modification time")
}

/** Logs how to go on if an upload is interrupted. `advice` says it for an upload without a journal. */
export const advising = (
  { place }: Source,
  { journal }: Pick<TransferOptions, "journal">,
  advice: () => string
): (<A, E, R>(upload: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>) =>
  Effect.onInterrupt(() =>
    Effect.logInfo(
      `${place}: the upload was interrupted. ${journal === undefined ? advice() : "Run it again with the same journal to go on"}`
    )
  )

/** Finds the upload in the journal, or writes it down, before the first byte is sent. */
export const open = (
  source: Source,
  options: Pick<TransferOptions, "journal" | "verify">,
  place: { readonly platform: string; readonly target: ReadonlyArray<string>; readonly chunkSize: number }
): Effect.Effect<Session, UploadError.UploadError> =>
  Effect.gen(function* () {
    const { size, modifiedAt } = source.fingerprint
    const journal =
      options.journal === undefined
        ? Journal.none
        : Journal.make(options.journal, yield* keyOf(source, place.platform, place.target))
    const hash = options.verify === "hash" && options.journal !== undefined ? yield* source.hash : undefined
    const earlier = yield* journal.read
    if (earlier !== undefined) yield* checkUnchanged(source, earlier, hash)
    const anew = (): Journal.Entry => ({
      size,
      chunkSize: place.chunkSize,
      uploadId: SecureRandom.uuidV4Unsafe(),
      received: [],
      ...(modifiedAt !== undefined && { modifiedAt }),
      ...(hash !== undefined && { hash })
    })
    let entry = earlier ?? anew()
    if (earlier === undefined) yield* journal.write(entry)
    return {
      isResumed: earlier !== undefined,
      entry: () => entry,
      remember: (changes) =>
        Effect.suspend(() => {
          entry = { ...entry, ...changes }
          return journal.write(entry)
        }),
      restart: Effect.suspend(() => {
        entry = anew()
        return journal.write(entry)
      }),
      forget: journal.remove
    }
  })
