/** Routes of `Summaries`. */
import { pageOf } from "../../Page.ts"
import * as Schemas from "../../Summary.ts"
import type { Route } from "../route.ts"

export const list = {
  name: "Summaries.list",
  id: "GET_summaries",
  method: "GET",
  path: "/summaries",
  query: Schemas.SummaryQuery,
  success: /* @__PURE__ */ pageOf(Schemas.Summary)
} as const satisfies Route

export const create = {
  name: "Summaries.create",
  id: "POST_summaries",
  method: "POST",
  path: "/summaries",
  body: Schemas.SummaryCreation,
  success: Schemas.Summary
} as const satisfies Route

export const getSource = {
  name: "Summaries.getSource",
  id: "GET_summaries-summaryId-source",
  method: "GET",
  path: "/summaries/:summaryId/source",
  success: Schemas.SummarySource
} as const satisfies Route

export const updateSource = {
  name: "Summaries.updateSource",
  id: "PATCH_summaries-summaryId-source",
  method: "PATCH",
  path: "/summaries/:summaryId/source",
  body: Schemas.SummaryUpdate,
  success: Schemas.SummarySource
} as const satisfies Route

export const remove = {
  name: "Summaries.delete",
  id: "DELETE_summaries-summaryId",
  method: "DELETE",
  path: "/summaries/:summaryId"
} as const satisfies Route
