/**
 * The origin of an http or https URL as it is compared: scheme, host and port; empty where it has none. A user name is no
 * part of it.
 */
export const originOf = (url: string | URL): string => {
  // A path has none, and an exception costs more than all else that a request is put through.
  if (typeof url === "string" && url.startsWith("/")) return ""
  // `URL.canParse` is not always of `new URL`'s opinion: optimised, that of Node 22 refuses a soft hyphen in a host.
  try {
    const { origin, protocol } = new URL(url)
    // A blob: URL has the origin of the page that made it, and names no server.
    return protocol === "https:" || protocol === "http:" ? origin : ""
  } catch {
    return ""
  }
}

/** Whether a secret may travel there: https, or http that does not leave the machine. */
export const isSecureOrigin = (url: string): boolean => {
  const origin = originOf(url)
  // A pattern is no origin: it would match nothing.
  if (origin === "" || origin.includes("*")) return false
  const { hostname, protocol } = new URL(origin)
  return (
    protocol === "https:" || hostname === "localhost" || hostname === "[::1]" || /^127(\.\d{1,3}){3}$/.test(hostname)
  )
}

/** Whether a URL has this origin, which is written as `originOf` does. */
export const hasOrigin = (url: string, origin: string): boolean =>
  // Most URLs begin with the origin and a slash, after which nothing can change the origin.
  (url.startsWith(origin) && url[origin.length] === "/") || originOf(url) === origin
