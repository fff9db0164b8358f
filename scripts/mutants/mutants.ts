/** All mutants. */
import { ofEngine } from "./engine.ts"
import { ofGuarantees } from "./guarantees.ts"
import type { Mutant } from "./mutant.ts"
import { ofOAuth } from "./oauth.ts"
import { ofStores } from "./stores.ts"

export const mutants: ReadonlyArray<Mutant> = [...ofEngine, ...ofGuarantees, ...ofStores, ...ofOAuth]
