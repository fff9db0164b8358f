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
  /** Uploads the large file: what has a target for memory, which could grow, and what its throughput is compared with. */
  readonly isLarge?: boolean
}

const own: Subject = { name: ours, key: "undici", note: "a path, on undici, in parts of 50 MiB", isLarge: true }
const onNodeHttp: Subject = { name: `${ours}, node:http`, key: "node:http", isLarge: true }
const onFetch: Subject = { name: `${ours}, fetch`, key: "fetch", isLarge: true }
const ofStream: Subject = {
  name: `${ours}, a Stream`,
  key: "stream",
  note: "two parts of 64 MiB at a time",
  isLarge: true
}
const bare: Subject = {
  name: "createReadStream().pipe(http.request)",
  key: "bare",
  note: "limit: reads of 256 KiB, as ours",
  isLarge: true
}
const official: Subject = { name: "@api.video/nodejs-client", key: "@api.video/nodejs-client", isLarge: true }
const uploader: Subject = {
  name: "@api.video/video-uploader",
  key: "@api.video/video-uploader",
  note: "made for pages; in Node, with an XMLHttpRequest on fetch"
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

/** What one upload took. */
interface Upload extends Answer {
  /** Bytes. */
  readonly size: number
}

/** One upload, in a process of its own: its memory is not that of an earlier one. */
const uploadOnce = async ({ key, name }: Subject, url: string, path: string): Promise<Upload> => {
  const worker = await start<Question, Answer>("./uploads.ts", key, { args: [url] })
  const answer = await worker.ask({ path })
  await worker.close()
  // A body that a client loses without a word would make it the fastest.
  const { received } = (await (await fetch(`${url}/received`)).json()) as { received: number }
  const { size } = statSync(path)
  if (received < size) throw new Error(`${name} sent ${received} bytes`)
  return { ...answer, size }
}

type Figures = ReadonlyMap<Subject, ReadonlyArray<Upload>>

const throughputOf = ({ seconds, size }: Upload) => size / mebibyte / seconds
const cpuOf = ({ cpu, size }: Upload) => cpu / (size / 1024 ** 3)
const memoryOf = ({ memory = NaN }: Upload) => memory / mebibyte

const metrics = [
  { what: "throughput", unit: "MiB/s", of: throughputOf },
  { what: "CPU per GiB", unit: "s", of: cpuOf },
  { what: "peak memory above idle", unit: "MiB", of: memoryOf }
]

const measurementsOf = (figures: Figures): ReadonlyArray<Measurement> =>
  metrics.flatMap(({ of, unit, what }) => {
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

const targetsOf = (figures: Figures): ReadonlyArray<Target> => {
  const [throughput, cpu, memory] = [throughputOf, cpuOf, memoryOf].map(
    (of) => (subject: Subject) => (figures.get(subject) ?? []).map(of)
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

const sizes = {
  full: { large: 4096 * mebibyte, usual: 1024 * mebibyte, rounds: 3 },
  smoke: { large: 60 * mebibyte, usual: 60 * mebibyte, rounds: 1 }
} as const

const run = async (effort: Effort): Promise<Outcome> => {
  const { large, rounds, usual } = sizes[effort]
  const folder = mkdtempSync(join(tmpdir(), "bench-uploads-"))
  const fileOf = (name: string, size: number) => {
    const path = join(folder, name)
    writeFileSync(path, "")
    // It has no blocks on the disk: what is measured is the upload.
    truncateSync(path, size)
    return path
  }
  const { close, url } = await sink()
  try {
    const [largeFile, usualFile] = [fileOf("large.mp4", large), fileOf("usual.mp4", usual)]
    // Whoever reads the file first pays for the system's cache of it, and takes more than twice its time.
    await uploadOnce(bare, url, largeFile)
    const figures = await interleave(subjects, rounds, (subject) =>
      uploadOnce(subject, url, subject.isLarge === true ? largeFile : usualFile)
    )
    return { measurements: measurementsOf(figures), targets: targetsOf(figures) }
  } finally {
    close()
    rmSync(folder, { recursive: true })
  }
}

export const scenario: Scenario = {
  name,
  description:
    "Uploads a file to a server on loopback that discards it, each time in a new process: 4 GiB, so that a memory that grows would " +
    "show, and 1 GiB where nothing is compared. Throughput depends on the machine; CPU, memory and the ratios hardly do.",
  run
}
