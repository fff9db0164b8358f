/** Reads options from Effect's `Config`, and says of a missing or wrong variable which one it is and what to do. */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as SchemaIssue from "effect/SchemaIssue"
import { invalid } from "../../token/shared/failures.ts"
import type { ConfigurationInvalid } from "../../token/TokenError.ts"

/** The name of the variable that an issue is about, as an environment has it. */
const variableOf = (issue: SchemaIssue.Issue): string | undefined => {
  const path: Array<string> = []
  let inner = issue
  while (inner._tag === "Pointer") {
    path.push(...inner.path.map(String))
    inner = inner.issue
  }
  return path.length === 0 ? undefined : path.join("_")
}

/** The first line of an issue, `Expected a valid Duration string`, which never contains the value. */
const expectation = (error: Schema.SchemaError): string => error.message.split("\n")[0]!.replace(/^E/, "e")

/** The reason for a variable that an effect of the program failed to read. */
export const wrongVariable = (option: string, { cause }: Config.ConfigError): ConfigurationInvalid => {
  const variable = Schema.isSchemaError(cause) ? variableOf(cause.issue) : undefined
  return invalid(
    option,
    variable === undefined || !Schema.isSchemaError(cause)
      ? "its configuration cannot be read"
      : `the variable ${variable} is not set, or has a wrong value: ${expectation(cause)}`
  )
}

/**
 * Reads a variable for an option. `value` says what the variable should be set to; without it, the message says what its
 * schema expects.
 */
export const readConfig = <A>(
  option: string,
  config: Config.Config<A>,
  value?: string
): Effect.Effect<A, ConfigurationInvalid> =>
  Effect.catch(config, ({ cause }) => {
    const variable = Schema.isSchemaError(cause) ? variableOf(cause.issue) : undefined
    if (variable === undefined || !Schema.isSchemaError(cause)) {
      return Effect.fail(invalid(option, "its configuration cannot be read"))
    }
    const missing = `the variable ${variable} is not set. Set it${value === undefined ? "" : ` to ${value}`}`
    const wrong = `the variable ${variable} has a wrong value: ${expectation(cause)}`
    // Only Effect knows what counts as missing: `Config.option` gives `None` for it, and fails for a wrong value.
    return Effect.matchEffect(Config.option(config), {
      onSuccess: () => Effect.fail(invalid(option, missing)),
      onFailure: () => Effect.fail(invalid(option, wrong))
    })
  })

/** Reads an option that a program gives as a value or as a `Config`. */
export const read = <A>(option: string, value: A | Config.Config<A>): Effect.Effect<A, ConfigurationInvalid> =>
  Config.isConfig(value) ? readConfig(option, value) : Effect.succeed(value)

/** Reads a variable that need not be set. */
export const readOptional = <A>(
  option: string,
  config: Config.Config<A>
): Effect.Effect<A | undefined, ConfigurationInvalid> => readConfig(option, Config.withDefault(config, undefined))

/**
 * Checks now that a secret from configuration can be read, which stops the start if it is missing, and returns what reads it
 * at each login.
 */
export const readLater = (
  option: string,
  secret: unknown,
  value: string
): Effect.Effect<unknown, ConfigurationInvalid> => {
  if (!Config.isConfig(secret)) return Effect.succeed(secret)
  const reading = readConfig(option, secret, value)
  return Effect.as(reading, reading)
}
