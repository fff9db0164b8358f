/** What a user name and a password are named by. */
import * as Effect from "effect/Effect"

/**
 * What stands for a credential in its name. The password is part of it, for who knows the username alone must not be given
 * the token of somebody else; and as passwords can be guessed from a hash in a log, each guess is made dear (PBKDF2).
 */
export const stretched = ({ password, username }: { readonly password: string; readonly username: string }) =>
  Effect.promise(async () => {
    const bytes = (text: string) => new TextEncoder().encode(text)
    // A page that is not served securely has no WebCrypto, and gets a name of its own anyway.
    if (crypto.subtle === undefined) return username
    const key = await crypto.subtle.importKey("raw", bytes(password), "PBKDF2", false, ["deriveBits"])
    const how = { name: "PBKDF2", hash: "SHA-256", salt: bytes(username), iterations: 100_000 }
    return `${username}\n${new Uint8Array(await crypto.subtle.deriveBits(how, key, 128)).join()}`
  })
