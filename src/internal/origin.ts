/** The origin of a URL as it is compared: scheme, host and port; empty where it has none. A user name is no part of it. */
export const originOf = (url: string): string => {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  return parsed === undefined || parsed.origin === "null" ? "" : parsed.origin
}

/** Whether a secret may travel there: https, or http that does not leave the machine. */
export const isSecureOrigin = (url: string): boolean => {
  const origin = originOf(url)
  if (origin === "") return false
  const { hostname, protocol } = new URL(origin)
  if (protocol === "https:") return true
  return (
    protocol === "http:" && (hostname === "localhost" || hostname === "[::1]" || /^127(\.\d{1,3}){3}$/.test(hostname))
  )
}
