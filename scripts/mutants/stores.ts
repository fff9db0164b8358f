/** Ways to break what the stores say, each of its own. */
import type { Mutant } from "./mutant.ts"

const backend = "src/store/internal/storeBackend.ts"
const encryption = "src/store/TokenEncryption.ts"
const file = "src/store/TokenStoreFile.ts"
const redis = "src/store/TokenStoreRedis.ts"
const sql = "src/store/TokenStoreSql.ts"
const protocol = "src/token/internal/storeProtocol.ts"
const access = "src/token/internal/storeAccess.ts"

const of = (name: string) => [`test/store/${name}.test.ts`]

export const ofStores: ReadonlyArray<Mutant> = [
  {
    breaks: "store",
    name: "files: a process that lost the race has won as well",
    file,
    edits: [["if (!linked) continue", ""]],
    tests: of("TokenStoreFile")
  },
  {
    breaks: "store",
    name: "files: anybody may read them",
    file,
    edits: [['{ flag: "wx", mode: 0o600 }', '{ flag: "wx", mode: 0o644 }']],
    tests: of("TokenStoreFile")
  },
  {
    breaks: "store",
    name: "Redis: the lease is not exclusive",
    file: redis,
    edits: [["if (is['revision'] or '0') ~= ARGV[3] then return 0 end\n", ""]],
    tests: of("TokenStoreRedis")
  },
  {
    breaks: "store",
    name: "Redis: a commit ignores the version",
    file: redis,
    edits: [["if version ~= ARGV[3] then return 0 end\nwrite(free)", "write(free)"]],
    tests: of("TokenStoreRedis")
  },
  {
    breaks: "store",
    name: "SQL: the lease is not exclusive",
    file: sql,
    edits: [
      ["where identity = ${identity} and revision = ${revision}::bigint and", "where identity = ${identity} and"]
    ],
    tests: of("TokenStoreSql")
  },
  {
    breaks: "store",
    name: "SQL: a commit ignores the version",
    file: sql,
    edits: [["where t.version = ${version}::bigint\n", "where t.version >= 0\n"]],
    tests: of("TokenStoreSql")
  },
  {
    breaks: "store",
    name: "SQL: it writes in the transaction of the caller",
    file: sql,
    edits: [["      Context.omit(sql.transactionService)\n", "      (context) => context\n"]],
    tests: of("TokenStoreSql")
  },
  {
    breaks: "store",
    name: "records mean the clock of their writer",
    file: backend,
    edits: [["const local = shifted(token, Math.floor(asked - row.now))", "const local = token"]],
    tests: of("TokenStoreRedis")
  },
  {
    breaks: "store",
    name: "a call that hangs is waited for",
    file: backend,
    edits: [["clock, callTimeout, () =>", "clock, 1e9, () =>"]],
    tests: of("TokenStoreFile")
  },
  {
    breaks: "encryption",
    name: "an earlier record in the place of a later one is read",
    file: backend,
    edits: [["(token.generation === row.version ?", "(token.generation > 0 ?"]],
    tests: of("TokenStoreRedis")
  },
  {
    breaks: "encryption",
    name: "the record of another identity is read",
    file: encryption,
    edits: [["text.encode(`${version}.${key}.${identity}`)", "text.encode(`${version}.${key}`)"]],
    tests: of("TokenEncryption")
  },
  {
    breaks: "encryption",
    name: "a rotated key no longer reads",
    file: encryption,
    edits: [["keys.find(({ id }) => id === key)", "keys.slice(0, 1).find(({ id }) => id === key)"]],
    tests: of("TokenEncryption")
  },
  {
    breaks: "encryption",
    name: "what a decoder says of a damaged record is told",
    file: encryption,
    edits: [
      [
        'new Unreadable({ problem: "it is damaged" }),\n    onSuccess',
        "new Unreadable({ problem: content }),\n    onSuccess"
      ]
    ],
    tests: of("TokenEncryption")
  },
  {
    breaks: "store",
    name: "the mark of a refresh that was never sent stays",
    file: protocol,
    edits: [["let unused = true", "let unused = false"]],
    tests: ["test/token/storeCases.test.ts"]
  },
  {
    breaks: "store",
    name: "a store that refuses every write is asked forever",
    file: access,
    edits: [["++count < atMost", "++count < Infinity"]],
    tests: ["test/token/storeCases.test.ts"]
  }
]
