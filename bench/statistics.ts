/** What is made of the figures of several rounds. */

const sorted = (figures: ReadonlyArray<number>) => figures.toSorted((a, b) => a - b)

/** The figure that such a part of all does not exceed: `0.5` is the median. */
export const quantile = (figures: ReadonlyArray<number>, part: number): number => {
  const ordered = sorted(figures)
  const position = (ordered.length - 1) * part
  const [below, above] = [ordered[Math.floor(position)], ordered[Math.ceil(position)]]
  return below === undefined || above === undefined ? Number.NaN : below + (above - below) * (position % 1)
}

export const median = (figures: ReadonlyArray<number>): number => quantile(figures, 0.5)

/** Lowest and highest. */
export const spread = (figures: ReadonlyArray<number>): readonly [number, number] => [
  Math.min(...figures),
  Math.max(...figures)
]

/**
 * The median of the ratios of each round. Both sides of one were measured within moments of each other, so it is steadier
 * than the ratio of two medians.
 */
export const medianRatio = (figures: ReadonlyArray<number>, references: ReadonlyArray<number>): number =>
  median(figures.map((figure, round) => figure / (references[round] ?? Number.NaN)))

/** The figures of two processes of one subject: whatever they differ by is noise. */
export interface Twins<Figure> {
  readonly first: ReadonlyArray<Figure>
  readonly second: ReadonlyArray<Figure>
}

export const noTwins: Twins<never> = { first: [], second: [] }

export const joinTwins = <Figure>(a: Twins<Figure>, b: Twins<Figure>): Twins<Figure> => ({
  first: [...a.first, ...b.first],
  second: [...a.second, ...b.second]
})

export const mapTwins = <A, B>({ first, second }: Twins<A>, f: (figure: A) => B): Twins<B> => ({
  first: first.map(f),
  second: second.map(f)
})

/** The figures of both, in the same order for every subject, so that those of one round are beside each other. */
export const bothOf = <Figure>({ first, second }: Twins<Figure>): ReadonlyArray<Figure> => [...first, ...second]

/** How many times the first one's figures the second one's are: 1 if the machine makes no noise. */
export const noiseOf = ({ first, second }: Twins<number>): number => medianRatio(second, first)

/** The exponent of growth: the slope of the straight line through the logarithms. 0 is constant, 1 is linear. */
export const exponent = (points: ReadonlyArray<readonly [size: number, cost: number]>): number => {
  const [xs, ys] = [points.map(([size]) => Math.log(size)), points.map(([, cost]) => Math.log(cost))]
  const mean = (values: ReadonlyArray<number>) => values.reduce((sum, value) => sum + value, 0) / values.length
  const [x, y] = [mean(xs), mean(ys)]
  const covariance = xs.reduce((sum, value, i) => sum + (value - x) * ((ys[i] ?? Number.NaN) - y), 0)
  return covariance / xs.reduce((sum, value) => sum + (value - x) ** 2, 0)
}
