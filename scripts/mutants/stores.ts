/** Ways to break what the stores say, each of its own. */
import type { Mutant } from "./mutant.ts"

const backend = "src/store/internal/storeBackend.ts"
const encryption = "src/store/TokenEncryption.ts"
const sealing = "src/store/internal/sealing.ts"
const file = "src/store/TokenStoreFile.ts"
const redis = "src/store/TokenStoreRedis.ts"
const sql = "src/store/TokenStoreSql.ts"
const web = "src/store/TokenStoreWeb.ts"
const webDatabase = "src/store/internal/webDatabase.ts"
const scheduler = "src/token/internal/scheduler.ts"
const protocol = "src/token/internal/storeProtocol.ts"
const access = "src/token/internal/storeAccess.ts"
const rules = "src/token/internal/storeRules.ts"

/** The protocol's model, alone and beside the backends. */
const modelled = ["test/model/store/protocol.test.ts"]
const beside = ["test/model/store/backends.test.ts"]
const cases = ["test/token/storeCases.test.ts"]

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
    name: "web: the lease is not exclusive",
    file: web,
    edits: [["StoreRow.claim(row, claim, now)", "StoreRow.claim(row, { ...claim, revision: row.revision }, now)"]],
    tests: of("TokenStoreWeb")
  },
  {
    breaks: "store",
    name: "web: a commit ignores the version",
    file: web,
    edits: [["StoreRow.commit(row, commit)", "StoreRow.commit(row, { ...commit, version: row.version })"]],
    tests: of("TokenStoreWeb")
  },
  {
    breaks: "store",
    name: "web: a mark of another tab is overwritten",
    file: web,
    edits: [["StoreRow.sending(row, sending, now)", "StoreRow.sending({ ...row, sent: undefined }, sending, now)"]],
    tests: of("TokenStoreWeb")
  },
  {
    breaks: "store",
    name: "web: another tab does not see the mark",
    file: web,
    edits: [["return { ...row, now }", "return { ...row, sent: undefined, now }"]],
    tests: of("TokenStoreWeb.browser")
  },
  {
    breaks: "store",
    name: "web: waiting tabs hear of nothing",
    file: web,
    edits: [["if (announces && isChanged)", "if (announces && !isChanged)"]],
    tests: of("TokenStoreWeb")
  },
  {
    breaks: "store",
    name: "web: a damaged row is not reported",
    file: web,
    edits: [["isDamaged: entry !== undefined", "isDamaged: false"]],
    tests: of("TokenStoreWeb")
  },
  {
    breaks: "encryption",
    name: "web: a script can read the key",
    file: webDatabase,
    edits: [["length: 256 }, false,", "length: 256 }, true,"]],
    tests: of("TokenStoreWeb")
  },
  {
    breaks: "encryption",
    name: "web: each tab makes a key of its own",
    file: webDatabase,
    edits: [["return found === undefined ?", "return found !== null ?"]],
    tests: of("TokenStoreWeb")
  },
  {
    breaks: "store",
    name: "web: a tab keeps the database from being deleted",
    file: webDatabase,
    edits: [['["versionchange", "close"]', '["close"]']],
    tests: of("TokenStoreWeb.browser")
  },
  {
    breaks: "store",
    name: "web: a connection that failed is used again",
    file: webDatabase,
    edits: [
      [
        "          Effect.onError(() => Effect.sync(() => drop(database)))",
        "          Effect.onError(() => Effect.void)"
      ]
    ],
    tests: of("TokenStoreWeb")
  },
  {
    breaks: "store",
    name: "web: a page without rights to storage takes that for an outage",
    file: webDatabase,
    edits: [['new Set(["SecurityError", ', "new Set(["]],
    tests: of("TokenStoreWeb.browser")
  },
  {
    breaks: "store",
    name: "web: a full disk is taken for missing rights",
    file: webDatabase,
    edits: [['new Set(["SecurityError", ', 'new Set(["QuotaExceededError", "SecurityError", ']],
    tests: of("TokenStoreWeb.browser")
  },
  {
    breaks: "store",
    name: "web: a tab in the background waits for timers",
    file: scheduler,
    edits: [['if ("setImmediate" in globalThis ||', 'if ("MessageChannel" in globalThis ||']],
    tests: of("TokenStoreWeb.browser")
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
    file: sealing,
    edits: [["text.encode(formatRecord(id, identity))", 'text.encode(formatRecord(id, ""))']],
    tests: of("TokenEncryption")
  },
  {
    breaks: "encryption",
    name: "a rotated key no longer reads",
    file: encryption,
    edits: [["keys.find(({ id }) => id === name)", "keys.slice(0, 1).find(({ id }) => id === name)"]],
    tests: of("TokenEncryption")
  },
  {
    breaks: "encryption",
    name: "what a decoder says of a damaged record is told",
    file: sealing,
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
    tests: cases
  },
  {
    breaks: "store",
    name: "a store that refuses every write is asked forever",
    file: access,
    edits: [["++count < atMost", "++count < Infinity"]],
    tests: cases
  },
  ...[modelled, cases].flatMap((tests): ReadonlyArray<Mutant> => [
    {
      breaks: "store",
      name: `nobody takes over from a silent holder, in ${tests[0]}`,
      file: rules,
      edits: [[" || now - since >= lease ||", " ||"]],
      tests
    },
    {
      breaks: "store",
      name: `a response that comes later than a lease is dropped, in ${tests[0]}`,
      file: protocol,
      edits: [['if (exchanged === "lost") {', 'if (exchanged === "lost" || now() - row.now > timing.lease) {']],
      tests
    }
  ]),
  {
    breaks: "store",
    name: "a store that was set back does not get the later credential",
    file: rules,
    edits: [["if (isSetBack && known.token", "if (isSetBack && version < 0 && known.token"]],
    tests: modelled
  },
  {
    breaks: "store",
    name: "a refresh token that may have been sent is sent",
    file: rules,
    edits: [["const isSent = rotates && (sent !== undefined || isSetBack)", "const isSent = false"]],
    tests: modelled
  },
  {
    breaks: "store",
    name: "an exchange is sent though its grant came too late",
    file: protocol,
    edits: [["if (!granted || now() - asked > timing.lease)", "if (!granted)"]],
    tests: cases
  },
  {
    breaks: "store",
    name: "a release whose reply was lost is forgotten",
    file: protocol,
    edits: [
      [
        "Effect.sync(() => void place.releases.set(attempt, unused))\n        )\n      )",
        "Effect.void\n        )\n      )"
      ]
    ],
    tests: modelled
  },
  {
    breaks: "store",
    name: "a sign-out is not repeated",
    file: protocol,
    edits: [["        place.clearing = clearing\n", "        place.clearing = undefined\n"]],
    tests: ["test/token/TokenStore.test.ts"]
  },
  {
    breaks: "store",
    name: "Redis: a commit leaves the mark",
    file: redis,
    edits: [
      [
        "redis.call('HDEL', KEYS[1], 'sentBy', 'sentAt')\nredis.call('HSET', KEYS[1], 'version', ARGV[4]",
        "redis.call('HSET', KEYS[1], 'version', ARGV[4]"
      ]
    ],
    tests: beside
  },
  {
    breaks: "store",
    name: "SQL: a takeover keeps the signs of life of the holder before",
    file: sql,
    edits: [
      [
        "lease_by = ${attempt}, lease_beat = 0, lease_at",
        "lease_by = ${attempt}, lease_beat = coalesce(lease_beat, 0), lease_at"
      ]
    ],
    tests: beside
  },
  {
    breaks: "store",
    name: "SQL: a release that changes nothing counts",
    file: sql,
    edits: [["(${unused} or sent_at <> to_timestamp(0))", "true"]],
    tests: of("TokenStoreSql")
  },
  {
    breaks: "store",
    name: "files: a sign-out ends later sessions as well",
    file,
    edits: [["StoreRow.clear(row, epoch))", "StoreRow.clear(row, row.epoch))"]],
    tests: beside
  }
]
