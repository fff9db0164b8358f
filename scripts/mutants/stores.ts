/** Ways to break what the stores say, each of its own. */
import type { Mutant } from "./mutant.ts"

const backend = "src/store/internal/storeBackend.ts"
const encryption = "src/store/TokenEncryption.ts"
const file = "src/store/TokenStoreFile.ts"
const redis = "src/store/TokenStoreRedis.ts"
const sql = "src/store/TokenStoreSql.ts"

const of = (name: string) => [`test/store/${name}.test.ts`]

export const ofStores: ReadonlyArray<Mutant> = [
  {
    breaks: "store",
    name: "files: the lease is not exclusive",
    file,
    edits: [["if (remaining > 0 && !isDead) return undefined", ""]],
    tests: of("TokenStoreFile")
  },
  {
    breaks: "store",
    name: "files: no fence on commit",
    file,
    edits: [["number === fence && state.lease?.owner === owner", "state.lease?.owner === owner"]],
    tests: of("TokenStoreFile")
  },
  {
    breaks: "store",
    name: "files: who lost the race has won as well",
    file,
    edits: [["if (!linked) continue", ""]],
    tests: of("TokenStoreFile")
  },
  {
    breaks: "store",
    name: "files: a holder gives no sign of life",
    file,
    edits: [["Effect.delay(lapse / 3)", "Effect.delay(lapse * 30)"]],
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
    edits: [["if is['owner'] and now < free then", "if false then"]],
    tests: of("TokenStoreRedis")
  },
  {
    breaks: "store",
    name: "Redis: no fence on commit",
    file: redis,
    edits: [["is['owner'] == ARGV[1] and is['fence'] == ARGV[2]", "is['owner'] == ARGV[1]"]],
    tests: of("TokenStoreRedis")
  },
  {
    breaks: "store",
    name: "Redis: who asked too long ago gets the lease",
    file: redis,
    edits: [["if notAfter and now > notAfter then", "if false then"]],
    tests: of("TokenStoreRedis")
  },
  {
    breaks: "store",
    name: "Redis: a dead holder left nothing behind",
    file: redis,
    edits: [["(is['spent'] == '1' or is['owner']) and 1 or 0", "is['spent'] == '1' and 1 or 0"]],
    tests: of("TokenStoreRedis")
  },
  {
    breaks: "store",
    name: "SQL: the lease is not exclusive",
    file: sql,
    edits: [["\n    and (t.owner is null or t.lease_until <= clock_timestamp())", ""]],
    tests: of("TokenStoreSql")
  },
  {
    breaks: "store",
    name: "SQL: no fence on commit",
    file: sql,
    edits: [
      [
        "spent = false, owner = null, lease_until = null\n  where identity = ${identity} and owner = ${owner} and fence = ${fence}::bigint",
        "spent = false, owner = null, lease_until = null\n  where identity = ${identity} and owner = ${owner} and ${fence}::bigint > 0"
      ]
    ],
    tests: of("TokenStoreSql")
  },
  {
    breaks: "store",
    name: "SQL: a dead holder left nothing behind",
    file: sql,
    edits: [["orphaned = t.spent or t.owner is not null", "orphaned = t.spent"]],
    tests: of("TokenStoreSql")
  },
  {
    breaks: "store",
    name: "SQL: it writes in the transaction of whoever asks",
    file: sql,
    edits: [["      Context.omit(sql.transactionService)\n", "      (context) => context\n"]],
    tests: of("TokenStoreSql")
  },
  {
    breaks: "store",
    name: "a refresh token that the store may have is sent from here as well",
    file: "src/token/TokenStore.ts",
    edits: [["let spent = true", "let spent = false"]],
    tests: of("TokenStore")
  },
  {
    breaks: "store",
    name: "records mean the clock of who wrote them",
    file: backend,
    edits: [["token.generation === generation ? shifted(token, shift)", "token.generation === generation ? token"]],
    tests: of("TokenStoreRedis")
  },
  {
    breaks: "store",
    name: "a store that hangs is waited for",
    file: backend,
    edits: [["duration: callTimeout,", "duration: 1e9,"]],
    tests: of("TokenStoreRedis")
  },
  {
    breaks: "encryption",
    name: "an earlier record in the place of a later one is read",
    file: backend,
    edits: [["(token.generation === generation ?", "(token.generation > 0 ?"]],
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
  }
]
