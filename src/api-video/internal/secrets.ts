/** Query parameters that are credentials: an upload token, and the key that starts a live stream. */
export const secretParameters: ReadonlyArray<string> = ["token", "streamKey"]
