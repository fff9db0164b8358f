/** All mutants. */
import { ofGuarantees } from "./guarantees.ts"
import type { Mutant } from "./mutant.ts"
import { ofOAuth } from "./oauth.ts"
import { ofStores } from "./stores.ts"

export const mutants: ReadonlyArray<Mutant> = [...ofGuarantees, ...ofStores, ...ofOAuth]
