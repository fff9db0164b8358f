/** Whether a host name, as `URL` writes it, is this machine's own. */
export const isLoopback = (hostname: string): boolean =>
  hostname === "localhost" ||
  hostname.endsWith(".localhost") ||
  hostname === "[::1]" ||
  /^127(\.\d+){3}$/.test(hostname)

/** The URL of a text; undefined: it is none. */
export const urlOf = (text: string): URL | undefined => (URL.canParse(text) ? new URL(text) : undefined)
