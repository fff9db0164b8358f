/** All subjects, ours first. */
import { apiVideoClient } from "./api-video-client.ts"
import { axiosAuthRefresh } from "./axios-auth-refresh.ts"
import { azureCore } from "./azure-core.ts"
import { badgateway } from "./badgateway.ts"
import { effectCached } from "./effect-cached.ts"
import { effectVideoAuth } from "./effect-video-auth.ts"
import { googleAuthLibrary } from "./google-auth-library.ts"
import { kyWithHooks } from "./ky.ts"
import { msalNode } from "./msal-node.ts"
import { simpleOAuth2 } from "./simple-oauth2.ts"
import { smithyCore } from "./smithy-core.ts"
import type { Subject } from "./subject.ts"

export type { Session, Subject } from "./subject.ts"

export const subjects: ReadonlyArray<Subject> = [
  effectVideoAuth,
  apiVideoClient,
  googleAuthLibrary,
  msalNode,
  azureCore,
  smithyCore,
  simpleOAuth2,
  badgateway,
  axiosAuthRefresh,
  kyWithHooks,
  effectCached
]

/** For worker processes, which are told a name. */
export const subjectNamed = (name: string): Subject => {
  const subject = subjects.find((subject) => subject.name === name)
  if (subject === undefined) throw new Error(`no subject is called ${name}`)
  return subject
}
