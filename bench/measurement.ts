/**
 * What a scenario gives: figures of subjects, ours and the peers', taken in one run on one machine. `main.ts` sets each
 * beside ours, prints them and writes them down.
 */

import { bothOf, median, medianRatio, noiseOf, spread, type Twins } from "./statistics.ts"

/** The name under which our own figures go. */
export const ours = "effect-video-auth"

/** One figure of one subject. */
export interface Measurement {
  /** Number and title, as in `1. Cold callers`. */
  readonly scenario: string
  /** Whose figure it is: {@link ours}, a peer's package name, or a limit such as `Effect.succeed`. */
  readonly subject: string
  /** What was measured, with its parameters, as in `exchanges for 1,000 callers`. */
  readonly metric: string
  /** The median of the rounds, or the count. */
  readonly value: number
  /** `exchanges`, `ns`, `ms`, `req/s`, `bytes`, … */
  readonly unit: string
  /** Times ours, where rounds were paired: the median of their ratios. Elsewhere it is `value` over ours. */
  readonly ratioToOurs?: number | undefined
  /** Lowest and highest round, where there were several. */
  readonly spread?: readonly [number, number] | undefined
  /** What a reader must know to read the figure: that the peer has no such notion, say. */
  readonly note?: string | undefined
}

/** The metric of the noise of another one. */
export const noiseIn = (metric: string): string => `noise of ${metric}`

/** What a subject's two processes give for a metric, and how far they differ. */
export const measurementsOf = (
  row: Omit<Measurement, "value" | "ratioToOurs" | "spread">,
  figures: Twins<number>,
  ours: Twins<number>
): ReadonlyArray<Measurement> => [
  {
    ...row,
    value: median(bothOf(figures)),
    ratioToOurs: medianRatio(bothOf(figures), bothOf(ours)),
    spread: spread(bothOf(figures))
  },
  {
    ...row,
    metric: noiseIn(row.metric),
    value: noiseOf(figures),
    unit: "×",
    ratioToOurs: NaN,
    note: "the second process of this subject, times the first"
  }
]

/** A figure that the project has set itself, and whether this run reached it. */
export interface Target {
  readonly scenario: string
  /** In words, as in `at most 3 × Effect.succeed`. */
  readonly target: string
  /** What was measured, in words. */
  readonly measured: string
  readonly isMet: boolean
}

/** What one scenario yields. */
export interface Outcome {
  readonly measurements: ReadonlyArray<Measurement>
  readonly targets: ReadonlyArray<Target>
}

/** How much work a run does: `smoke` shows in seconds that every scenario runs, and its figures mean nothing. */
export type Effort = "full" | "smoke"

/** A scenario: `scenarios/*.ts` export one as `scenario`. */
export interface Scenario {
  /** Number and title, as in `1. Cold callers`. */
  readonly name: string
  /** One or two sentences: what is done, and what the figures mean. */
  readonly description: string
  readonly run: (effort: Effort) => Promise<Outcome>
}
