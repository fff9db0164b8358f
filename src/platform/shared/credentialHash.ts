/** A hash by which a user name with its password is known, in names of identities. */
import * as Effect from "effect/Effect"

/**
 * Hashes a credential for the name of its identity. The password is part of the hash, because a caller who knows only the
 * username must not get somebody else's token. PBKDF2 makes it expensive to guess the password from a hash in a log.
 */
export const hashCredential = ({ password, username }: { readonly password: string; readonly username: string }) =>
  Effect.promise(async () => {
    const bytes = (text: string) => new TextEncoder().encode(text)
    // A page that is not served securely has no WebCrypto, and gets a name of its own anyway.
    if (crypto.subtle === undefined) return username
    const key = await crypto.subtle.importKey("raw", bytes(password), "PBKDF2", false, ["deriveBits"])
    const how = { name: "PBKDF2", hash: "SHA-256", salt: bytes(username), iterations: 100_000 }
    return `${username}\n${new Uint8Array(await crypto.subtle.deriveBits(how, key, 128)).join()}`
  })
