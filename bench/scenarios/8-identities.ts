import { type Effort, type Measurement, ours, type Outcome, type Scenario } from "../measurement.ts"
import type { Day, Question, Started } from "../worker/identities.ts"
import { start } from "../worker/pool.ts"

const name = "8. Identities"

const real = "with api.video's provider"

const subjects = [
  ours,
  real,
  "a TokenService each",
  "Effect.cachedInvalidateWithTTL",
  "google-auth-library",
  "@smithy/core"
] as const

const ask = async <Answer>(subject: string, question: Question): Promise<Answer> => {
  const worker = await start<Question, Answer>("./identities.ts", subject, {
    flags: ["--expose-gc", "--max-old-space-size=4096"]
  })
  try {
    return await worker.ask(question)
  } finally {
    await worker.close()
  }
}

const run = async (effort: Effort): Promise<Outcome> => {
  const sizes = effort === "smoke" ? [1, 100] : [1, 1_000, 100_000]
  const many = sizes.at(-1) ?? 1
  const measurements: Array<Measurement> = []
  const largest = new Map<string, Started>()
  for (const subject of subjects) {
    for (const identities of sizes) {
      // A process for each: what one leaves behind is not weighed with the next.
      const started = await ask<Started>(subject, { _tag: "start", identities })
      largest.set(subject, started)
      const of = `${identities.toLocaleString("en")} identities`
      const figure = (metric: string, value: number, unit: string) =>
        measurements.push({ scenario: name, subject, metric: `${metric}, ${of}`, value, unit })
      figure("memory each", started.bytes, "bytes")
      figure("start with a first token", started.milliseconds, "ms")
      if (identities === many) {
        figure("fibres left", started.fibres, "fibres")
        figure("timers left", started.timers, "timers")
      }
    }
  }
  const day = await ask<Day>(ours, { _tag: "day", identities: effort === "smoke" ? 100 : 20_000 })
  const peak = day.peak / day.mean
  const metric = "busiest second of a simulated day, kept fresh, started together"
  measurements.push({ scenario: name, subject: ours, metric, value: peak, unit: "× the mean" })
  const [fake, whole] = [largest.get(ours), largest.get(real)]
  if (fake === undefined || whole === undefined) throw new Error("nothing was measured")
  const { fibres, milliseconds, timers } = fake
  const bytes = Math.max(fake.bytes, whole.bytes)
  return {
    measurements,
    targets: [
      {
        scenario: name,
        target: "at most 2.5 KB each",
        measured: `${bytes.toFixed(0)} bytes, ${real}`,
        isMet: bytes <= 2_500
      },
      {
        scenario: name,
        target: "no fibre and no timer each",
        measured: `${fibres} fibres and ${timers} timers in all`,
        isMet: fibres <= 2 && timers <= 2
      },
      {
        scenario: name,
        target: "100,000 started in 5 s",
        measured: `${many.toLocaleString("en")} in ${(milliseconds / 1_000).toFixed(1)} s`,
        isMet: milliseconds <= 5_000
      },
      {
        scenario: name,
        target: "busiest second at most 1.5 × the mean",
        measured: `${peak.toFixed(2)} × the mean of ${day.mean.toFixed(1)} a second`,
        isMet: peak <= 1.5
      }
    ]
  }
}

export const scenario: Scenario = {
  name,
  description:
    "Memory and start-up time of many identities in one process, each with a first token; of a function that " +
    "returns one; ours also with api.video's provider, which hashes the key and decodes the answer. Then a day on a test clock: does it come in bursts?",
  run
}
