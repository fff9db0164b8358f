/** All routes of the typed operations, and the documented responses, by `operationId`. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import type { Route } from "../../src/api-video/shared/route.ts"
import * as operations from "../../src/api-video/shared/operations.ts"

const groups: ReadonlyArray<Readonly<Record<string, Route>>> = Object.values(operations)

export const routes: ReadonlyArray<Route> = groups.flatMap((group) => Object.values(group))

const read = (...path: ReadonlyArray<string>) => JSON.parse(readFileSync(join(import.meta.dirname, ...path), "utf8"))

/** What `operations.json` says. */
export const matrix: {
  readonly operations: ReadonlyArray<{
    /** `operationId` in the OpenAPI file. */
    readonly id: string
    readonly method: string
    readonly path: string
    readonly function: string
    readonly paginated: boolean
    readonly tests: ReadonlyArray<string>
  }>
  readonly leftOut: ReadonlyArray<{
    readonly api: string
    readonly reason: string
    readonly routes: ReadonlyArray<string>
  }>
} = read("operations.json")

export const routeOf = (id: string): Route | undefined => {
  const operation = matrix.operations.find((operation) => operation.id === id)
  return routes.find(({ name }) => name === operation?.function)
}

/** An example of a response in api.video's OpenAPI file. */
export interface Example {
  readonly id: string
  readonly status: number
  readonly name: string
  readonly body: unknown
}

export const examples: ReadonlyArray<Example> = read("..", "fixtures", "api-video", "responses.json")

export const isSuccess = ({ status }: Example): boolean => status < 300
