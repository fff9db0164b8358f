/** Query parameters that are credentials: an upload or private token, a session of a private video, the key of a live stream. */
export const secretParameters: ReadonlyArray<string> = ["token", "streamKey", "avh"]
