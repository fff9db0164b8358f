/** Runs before each test file: properties without options of their own draw from the seed of the run. */
import { Arbitrary } from "effect"
import { seed } from "./random.ts"

Arbitrary.configureGlobal({ check: { seed } })
