/**
 * The three figures that docs/comparison.md quotes, in a sentence each. `npm run bench` writes them; so does
 * `node bench/report/quotes.ts`, from the results at hand.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { ours } from "../measurement.ts"
import { formatRatio } from "./figures.ts"
import { writeBetweenMarkers } from "./markdown.ts"

/** What of a row is quoted. */
interface Row {
  readonly subject: string
  readonly metric: string
  /** Times ours. */
  readonly ratioToOurs: number | null
}

/** Our figure, times that of a subject. */
const timesOf = (rows: ReadonlyArray<Row>, subject: string, metric: string): string => {
  const ratio = rows.find((row) => row.subject === subject && row.metric === metric)?.ratioToOurs
  if (ratio === undefined || ratio === null) throw new Error(`${subject} has no figure for ${metric}`)
  return formatRatio(1 / ratio)
}

/** Makes the sentences. */
export const quotes = (rows: ReadonlyArray<Row>): string => {
  const inMemory = timesOf(rows, "Effect HttpClient", "client CPU per request, without a network")
  const besideEffect = timesOf(rows, "Effect HttpClient", "throughput, 32 at a time")
  const besideOfficial = timesOf(rows, "@api.video/nodejs-client", "throughput, 32 at a time")
  const hot = timesOf(rows, "Effect.succeed", "time per get")
  const cached = timesOf(rows, "Effect.cachedInvalidateWithTTL", "time per get")
  return [
    `- Without a network, a request through \`${ours}\` takes ${inMemory} the CPU that it takes with Effect's own client.`,
    `- Over loopback, 32 at a time, it sends ${besideEffect} as many requests per second as Effect's own client, and ` +
      `${besideOfficial} as many as \`@api.video/nodejs-client\`.`,
    `- \`get\` takes ${hot} the time of \`Effect.succeed\`, and ${cached} that of \`Effect.cachedInvalidateWithTTL\`.`
  ].join("\n")
}

/** The page that quotes them, between its markers. */
export const page = join(import.meta.dirname, "..", "..", "docs", "comparison.md")

export const recordedRows = (): ReadonlyArray<Row> =>
  JSON.parse(readFileSync(join(import.meta.dirname, "..", "results.json"), "utf8")).rows

if (import.meta.main) writeBetweenMarkers(page, quotes(recordedRows()))
