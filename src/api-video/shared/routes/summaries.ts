/** Routes of `Summaries`. */
import { pageOf } from "../../Page.ts"
import * as Schemas from "../../Summary.ts"
import type { Route } from "../route.ts"

export const list = {
  name: "Summaries.list",
  method: "GET",
  path: "/summaries",
  query: Schemas.SummaryQuery,
  success: /* @__PURE__ */ pageOf(Schemas.Summary)
} as const satisfies Route

export const create = {
  name: "Summaries.create",
  method: "POST",
  path: "/summaries",
  body: Schemas.SummaryCreation,
  success: Schemas.Summary,
  status: 201
} as const satisfies Route

export const getSource = {
  name: "Summaries.getSource",
  method: "GET",
  path: "/summaries/:summaryId/source",
  success: Schemas.SummarySource
} as const satisfies Route

export const updateSource = {
  name: "Summaries.updateSource",
  method: "PATCH",
  path: "/summaries/:summaryId/source",
  body: Schemas.SummaryUpdate,
  success: Schemas.SummarySource,
  status: 201
} as const satisfies Route

export const remove = {
  name: "Summaries.delete",
  method: "DELETE",
  path: "/summaries/:summaryId"
} as const satisfies Route
