import { assert, describe, it } from "@effect/vitest"
import { Redis } from "effect/persistence"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import { problemOf } from "../../src/store/internal/problem.ts"

describe("the word for a failure of a store", () => {
  const reply = (message: string) => new Redis.RedisError({ cause: new Error(message) })
  const withCode = (code: string) => Object.assign(new Error("secret"), { code })

  for (const [word, error] of [
    ["NOPERM", reply("NOPERM User secret has no permissions to run the 'eval' command")],
    ["NOPERM", reply("ERR The user executing the script can't run this command or subcommand script: 1a2b")],
    ["NOPERM", reply("ERR ACL failure in script: User secret has no permissions to run the 'hset' command")],
    ["READONLY", reply("READONLY You can't write against a read only replica. script: 1a2b")],
    ["OOM", reply("OOM command not allowed when used memory > 'maxmemory'.")],
    ["OOM", reply("-OOM command not allowed when used memory > 'maxmemory'.")],
    ["WRONGPASS", reply("WRONGPASS invalid username-password pair or user is disabled.")],
    ["ECONNREFUSED", new Redis.RedisError({ cause: new AggregateError([withCode("ECONNREFUSED")]) })],
    ["28P01", new SqlError({ reason: new ConnectionError({ cause: withCode("28P01"), operation: "connect" }) })],
    ["EROFS", new Error("secret", { cause: withCode("EROFS") })],
    ["RedisError", reply("something secret")],
    [undefined, "something secret"],
    [undefined, undefined]
  ] as const) {
    it(`is ${word} for ${error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error)}`, () => {
      assert.strictEqual(problemOf(error), word)
    })
  }
})
