import { fork, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Effort, type Measurement, ours, type Outcome, type Scenario, type Target } from "../measurement.ts"
import { median, medianRatio, spread } from "../statistics.ts"
import { interleave, start } from "../worker/pool.ts"
import type { Answer, Question } from "../worker/uploads.ts"

const name = "12. Uploads"
const mebibyte = 1024 * 1024

interface Subject {
  readonly name: string
  /** Its name in `worker/uploads.ts`. */
  readonly key: string
  readonly note?: string | undefined
}

const own: Subject = { name: ours, key: "undici", note: "a path, on undici, in parts of 50 MiB" }
const onNodeHttp: Subject = { name: `${ours}, node:http`, key: "node:http" }
const onFetch: Subject = { name: `${ours}, fetch`, key: "fetch" }
const ofStream: Subject = { name: `${ours}, a Stream`, key: "stream", note: "two parts of 64 MiB at a time" }
const bare: Subject = {
  name: "createReadStream().pipe(http.request)",
  key: "bare",
  note: "limit: reads of 256 KiB, as ours"
}
const official: Subject = { name: "@api.video/nodejs-client", key: "@api.video/nodejs-client" }
const uploader: Subject = {
  name: "@api.video/video-uploader",
  key: "@api.video/video-uploader",
  note: "made for pages; in Node, with an XMLHttpRequest on fetch, in files of 1 GiB"
}
const curl: Subject = { name: "curl", key: "curl", note: "one request with the whole file" }

const hasCurl = spawnSync("curl", ["--version"]).status === 0
const subjects = [own, onNodeHttp, onFetch, ofStream, bare, official, uploader, ...(hasCurl ? [curl] : [])]

/** Starts a server that discards what it receives. */
const sink = async () => {
  const child = fork(new URL("../server/sink.ts", import.meta.url), {
    execArgv: ["--disable-warning=ExperimentalWarning"]
  })
  const { port } = await new Promise<AddressInfo>((resolve, reject) => {
    child.once("message", (message) => resolve(message as AddressInfo))
    child.once("exit", (code) => reject(new Error(`the server ended with ${code}`)))
  })
  return { url: `http://127.0.0.1:${port}`, close: () => child.disconnect() }
}

/** One upload, in a process of its own: its memory is not that of an earlier one. */
const uploadOnce = async ({ key, name }: Subject, url: string, path: string): Promise<Answer> => {
  const worker = await start<Question, Answer>("./uploads.ts", key, { args: [url] })
  const answer = await worker.ask({ path })
  await worker.close()
  // A body that a client loses without a word would make it the fastest.
  const { received } = (await (await fetch(`${url}/received`)).json()) as { received: number }
  if (received < statSync(path).size) throw new Error(`${name} sent ${received} bytes`)
  return answer
}

type Figures = ReadonlyMap<Subject, ReadonlyArray<Answer>>

const metrics = (size: number) => {
  const gibibytes = size / 1024 ** 3
  return [
    { what: "throughput", unit: "MiB/s", of: ({ seconds }: Answer) => size / mebibyte / seconds },
    { what: "CPU per GiB", unit: "s", of: ({ cpu }: Answer) => cpu / gibibytes },
    { what: "peak memory above idle", unit: "MiB", of: ({ memory = NaN }: Answer) => memory / mebibyte }
  ]
}

const measurementsOf = (figures: Figures, size: number): ReadonlyArray<Measurement> =>
  metrics(size).flatMap(({ of, unit, what }) => {
    const ownValues = figures.get(own)?.map(of) ?? []
    return subjects.flatMap((subject): ReadonlyArray<Measurement> => {
      const values = (figures.get(subject) ?? []).map(of).filter((value) => !Number.isNaN(value))
      if (values.length === 0) return []
      return [
        {
          scenario: name,
          subject: subject.name,
          metric: what,
          value: median(values),
          unit,
          ratioToOurs: medianRatio(values, ownValues),
          spread: spread(values),
          note: subject.note
        }
      ]
    })
  })

const targetsOf = (figures: Figures, size: number): ReadonlyArray<Target> => {
  const [throughput, cpu, memory] = metrics(size).map(
    ({ of }) =>
      (subject: Subject) =>
        (figures.get(subject) ?? []).map(of)
  ) as [(subject: Subject) => number[], (subject: Subject) => number[], (subject: Subject) => number[]]
  const atLeast = (least: number, subject: Subject, other: Subject): Target => {
    const ratio = medianRatio(throughput(subject), throughput(other))
    return {
      scenario: name,
      target: `${subject.name}: at least ${least} × the throughput of ${other.name}`,
      measured: `${ratio.toFixed(2)} ×`,
      isMet: ratio >= least
    }
  }
  const atMost = (
    most: number,
    unit: string,
    what: string,
    subject: Subject,
    values: ReadonlyArray<number>
  ): Target => ({
    scenario: name,
    target: `${subject.name}: ${what} of at most ${most} ${unit}`,
    measured: `${median(values).toFixed(1)} ${unit}`,
    isMet: median(values) <= most
  })
  const peak = (most: number, subject: Subject) => atMost(most, "MiB", "memory above idle", subject, memory(subject))
  const seconds = (subject: Subject) => atMost(2.5, "s", "CPU per GiB", subject, cpu(subject))
  return [
    atLeast(1.5, own, official),
    atLeast(1, own, bare),
    atLeast(1, onNodeHttp, bare),
    seconds(own),
    seconds(onNodeHttp),
    peak(64, own),
    peak(64, onNodeHttp),
    peak(160, onFetch),
    peak(192, ofStream)
  ]
}

const run = async (effort: Effort): Promise<Outcome> => {
  const [size, rounds] = effort === "smoke" ? [60 * mebibyte, 1] : [4096 * mebibyte, 3]
  const folder = mkdtempSync(join(tmpdir(), "bench-uploads-"))
  const { close, url } = await sink()
  try {
    const path = join(folder, "video.mp4")
    writeFileSync(path, "")
    // It has no blocks on the disk: what is measured is the upload.
    truncateSync(path, size)
    const figures = await interleave(subjects, rounds, (subject) => uploadOnce(subject, url, path))
    return { measurements: measurementsOf(figures, size), targets: targetsOf(figures, size) }
  } finally {
    close()
    rmSync(folder, { recursive: true })
  }
}

export const scenario: Scenario = {
  name,
  description:
    "Uploads a file of 4 GiB to a server on loopback that discards it, each time in a new process. Throughput depends on the " +
    "machine; CPU, memory and the ratios hardly do.",
  run
}
