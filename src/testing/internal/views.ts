/**
 * Who watched the videos and live streams of a sandbox: made up, but the same for the same instant and media, so that a
 * number can be asked for again, and the parts of a breakdown add up.
 */

/** What can be watched, in order of creation. */
export interface Media {
  readonly id: string
  readonly type: "video" | "live-stream"
  readonly createdAt: number
  readonly tags: ReadonlyArray<string>
}

/** One load of a player. */
export interface View {
  /** Epoch milliseconds. */
  readonly at: number
  readonly media: Media
  readonly continent: string
  readonly country: string
  readonly deviceType: string
  readonly operatingSystem: string
  readonly browser: string
  readonly referrer: string
  readonly viewer: number
  /** Whether it was played, and how long, in seconds. */
  readonly played: boolean
  readonly watched: number
  /** Whether it was watched to its end. */
  readonly ended: boolean
  /** Milliseconds until the first frame. */
  readonly loading: number
}

const places = [
  ["EU", "FR"],
  ["EU", "DE"],
  ["NA", "US"],
  ["NA", "CA"],
  ["AS", "JP"],
  ["SA", "BR"],
  ["AF", "MA"]
] as const

const devices = [
  ["computer", "windows", "chrome"],
  ["computer", "mac osx", "firefox"],
  ["computer", "linux", "firefox"],
  ["phone", "android", "chrome"],
  ["tablet", "windows", "edge"]
] as const

const referrers = ["https://example.com/", "https://example.org/lessons", ""]

/** A number from 0 to 2³²−1 that follows from two others (the finalizer of MurmurHash3). */
const mix = (a: number, b: number): number => {
  let hash = Math.imul(a ^ Math.imul(b, 0x9e3779b1), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

const pick = <A>(items: ReadonlyArray<A>, number: number, none: A): A => items[number % items.length] ?? none

const minute = 60_000

/** How many of the media exist at an instant. */
const existing = (media: ReadonlyArray<Media>, at: number): number => {
  let low = 0
  let high = media.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((media[middle]?.createdAt ?? Infinity) < at) low = middle + 1
    else high = middle
  }
  return low
}

const viewOf = (media: Media, at: number, seed: number): View => {
  const [continent, country] = pick(places, mix(seed, 1), places[0])
  const [deviceType, operatingSystem, browser] = pick(devices, mix(seed, 2), devices[0])
  const played = mix(seed, 3) % 5 > 0
  const watched = played ? 1 + (mix(seed, 4) % 30) : 0
  return {
    at,
    media,
    continent,
    country,
    deviceType,
    operatingSystem,
    browser,
    referrer: pick(referrers, mix(seed, 5), ""),
    viewer: mix(seed, 6) % 500,
    played,
    watched,
    ended: watched === 30,
    loading: 150 + (mix(seed, 7) % 850)
  }
}

/** All views from an instant up to another, which is not included: up to three in a minute, each of one of the media. */
export const between = (media: ReadonlyArray<Media>, from: number, to: number): ReadonlyArray<View> => {
  const views: Array<View> = []
  // Before the first of the media there is nothing to see.
  const start = Math.max(from, media[0]?.createdAt ?? to)
  for (let time = Math.floor(start / minute); time * minute < to; time++) {
    const count = mix(time, 0) % 4
    for (let index = 0; index < count; index++) {
      const seed = mix(time, index + 1)
      const at = time * minute + (seed % minute)
      const watched = at >= from && at < to ? media[mix(seed, 8) % Math.max(1, existing(media, at))] : undefined
      if (watched !== undefined && watched.createdAt < at) views.push(viewOf(watched, at, seed))
    }
  }
  return views
}
