/** The prefix of every context key that holds observers. Each observing layer appends its own name to it. */
export const observersKeyPrefix = "effect-video-auth/on"
