/** The form of an error message: what happened, then what to do, one sentence each. */

/** Joins sentences, each with one full stop at its end. The text of a server may bring its own. */
export const sentences = (...parts: ReadonlyArray<string | undefined>): string =>
  parts
    .flatMap((part) => (part === undefined || part.trim() === "" ? [] : [part.trim().replace(/[.\s]+$/, "")]))
    .map((part) => (/[!?…]$/.test(part) ? part : `${part}.`))
    .join(" ")
