/** Ways to break what OAuth 2 and OpenID Connect ask of a client. */
import type { Mutant } from "./mutant.ts"

const codeFlow = "src/oauth/shared/codeFlow.ts"
const codes = "src/oauth/shared/errorCodes.ts"
const device = "src/oauth/DeviceAuthorization.ts"
const grants = "src/oauth/shared/grants.ts"
const authentication = "src/oauth/shared/clientAuthentication.ts"
const discovery = "src/oauth/shared/discovery.ts"
const requests = "src/oauth/shared/requests.ts"
const signIn = "src/oauth/internal/signIn.ts"

const of = (name: string) => [`test/oauth/${name}.test.ts`]

export const ofOAuth: ReadonlyArray<Mutant> = [
  {
    breaks: "sign-in",
    name: "a redirect is good twice",
    file: codeFlow,
    edits: [["yield* store.remove(keyOf(client, state))", ""]],
    tests: of("signIn")
  },
  {
    breaks: "sign-in",
    name: "a redirect is good for ever",
    file: codeFlow,
    edits: [["Option.isNone(pending) || now >= pending.value.expiresAt", "Option.isNone(pending)"]],
    tests: of("signIn")
  },
  {
    breaks: "sign-in",
    name: "PKCE shows its verifier",
    file: codeFlow,
    edits: [
      ["code_challenge: challenge", "code_challenge: verifier"],
      ['code_challenge_method: "S256"', 'code_challenge_method: "plain"']
    ],
    tests: of("signIn")
  },
  {
    breaks: "sign-in",
    name: "a client finishes what another one began",
    file: codeFlow,
    edits: [["authorization-code/${server.baseUrl} ${options.clientId}/${state}", "authorization-code/${state}"]],
    tests: of("signIn")
  },
  {
    breaks: "sign-in",
    name: "a sign-in may be of any age",
    file: codeFlow,
    edits: [["...(maxAge !== undefined && { maxAge })", ""]],
    tests: of("signIn")
  },
  {
    breaks: "sign-in",
    name: "a discovery may take as long as an exchange",
    file: "src/oauth/internal/signIn.ts",
    edits: [["Math.min(usual, exchangeTimeout / 2)", "usual"]],
    tests: of("signIn")
  },
  {
    breaks: "sign-in",
    name: "any nonce will do",
    file: codeFlow,
    edits: [
      [
        "...(nonce !== undefined && { requireIdToken: true, expectedNonce: nonce }),",
        "expectedNonce: nonceOf(body) ?? oauth.expectNoNonce,"
      ],
      [
        "export const make =",
        'const nonceOf = (body: any) => body.id_token && JSON.parse(atob(body.id_token.split(".")[1])).nonce\nexport const make ='
      ]
    ],
    tests: of("signIn")
  },
  {
    breaks: "sign-in",
    name: "a caller that stops waiting for a code's token loses it",
    file: codeFlow,
    edits: [["const token = yield* Effect.uninterruptible(", "const token = yield* Effect.interruptible("]],
    tests: of("signIn")
  },
  {
    breaks: "sign-in",
    name: "a sign-in leaves the credential that was there",
    file: signIn,
    edits: [["arriving === undefined ? forget : storeArrived(arriving)", "forget"]],
    tests: of("signIn")
  },
  {
    breaks: "sign-in",
    name: "slow_down does not slow down",
    file: device,
    edits: [['if (code === "slow_down") pause += slowDownBy', 'if (code === "slow_down") pause += 0']],
    tests: of("device")
  },
  {
    breaks: "sign-in",
    name: "a person is sent to a page that is not secure",
    file: "src/oauth/internal/deviceAuthorization.ts",
    edits: [
      ["!isSecureOrigin(verificationUri) || !isSecureOrigin(verificationUriComplete ?? verificationUri)", "false"]
    ],
    tests: of("device")
  },
  {
    breaks: 4,
    name: "a server that gives no new refresh token ends the session",
    file: grants,
    edits: [["response.refreshToken === undefined && client.options.rotatesRefreshToken !== true", "false"]],
    tests: of("grants")
  },
  {
    breaks: 6,
    name: "a refused refresh token is a wrong password",
    file: codes,
    edits: [['return operation === "refresh"\n        ? new', 'return operation !== "refresh"\n        ? new']],
    tests: of("grants")
  },
  {
    breaks: 10,
    name: "metadata may lead to any host",
    file: requests,
    edits: [
      ["hosts === undefined || hosts.some((host) => originOf(`${protocol}//${host}`) === originOf(url))", "true"]
    ],
    tests: of("discovery")
  },
  {
    breaks: 10,
    name: "metadata may lead to a server that is not secure",
    file: requests,
    edits: [["!isSecureOrigin(url)", "false"]],
    tests: of("discovery")
  },
  {
    breaks: 10,
    name: "metadata may be those of another issuer",
    file: discovery,
    edits: [["oauth.processDiscoveryResponse(at, response)", "response.json() as never"]],
    tests: of("discovery")
  },
  {
    breaks: 8,
    name: "metadata are kept for ever",
    file: discovery,
    edits: [
      [
        "Exit.isSuccess(exit) ? exit.value.lifetime : Duration.zero",
        "Exit.isSuccess(exit) ? Duration.infinity : Duration.zero"
      ]
    ],
    tests: of("discovery")
  },
  {
    breaks: "sign-in",
    name: "an error with status 200 is a success",
    file: requests,
    edits: [
      ["errorCodeOf(body) === undefined ? undefined : request.refusal(request.operation, 200, body)", "undefined"]
    ],
    tests: of("deviations")
  },
  {
    breaks: "sign-in",
    name: "a device polls as often as the server says, however often that is",
    file: "src/oauth/internal/deviceAuthorization.ts",
    edits: [["Math.max(interval, shortestInterval)", "interval"]],
    tests: of("deviations")
  },
  {
    breaks: "sign-in",
    name: "a code may be sent to any URL",
    file: codeFlow,
    edits: [["yield* named(checkRedirectUri(redirectUri))", ""]],
    tests: of("deviations")
  },
  {
    breaks: "sign-in",
    name: "a parameter of the program replaces one of the grant",
    file: "src/oauth/shared/client.ts",
    edits: [["yield* checkParameters(options)", ""]],
    tests: of("deviations")
  },
  {
    breaks: "sign-in",
    name: "people of any tenant sign in",
    file: "src/oauth/shared/tenants.ts",
    edits: [['tenants === "any" ||', "true ||"]],
    tests: of("deviations")
  },
  {
    breaks: "sign-in",
    name: "metadata may have the template of another server",
    file: "src/oauth/shared/tenants.ts",
    edits: [["if (!issuer.startsWith(before) || !issuer.endsWith(after)) return undefined", ""]],
    tests: of("deviations")
  },
  {
    breaks: "sign-in",
    name: "a refresh changes who signed in",
    file: "src/oauth/shared/idToken.ts",
    edits: [["after.iss === before.iss && after.sub === before.sub", "true"]],
    tests: of("claims")
  },
  {
    breaks: "sign-in",
    name: "a device's ID token is not checked",
    file: device,
    edits: [["checkIdToken(client, metadata, body, oauth.processDeviceCodeResponse)", "Effect.undefined"]],
    tests: of("claims")
  },
  {
    breaks: "sign-in",
    name: "clients with another key share a token",
    file: authentication,
    edits: [["[clientId, keyId, await keyIdentity(privateKey)]", "[clientId, keyId]"]],
    tests: of("identity")
  },
  {
    breaks: "sign-in",
    name: "grants with other secrets share a token",
    file: grants,
    edits: [["password: JSON.stringify(secrets)", 'password: ""']],
    tests: of("identity")
  },
  {
    breaks: "sign-in",
    name: "an assertion says what the metadata say, whatever the option",
    file: authentication,
    edits: [['payload["aud"] = audienceOf(authentication, server)', ""]],
    tests: of("workloads")
  },
  {
    breaks: 6,
    name: "a server that answers 500 is failing, whatever its code",
    file: requests,
    edits: [["if (hasStandardCode(body)) coded = reason", ""]],
    tests: of("deviations")
  },
  {
    breaks: 9,
    name: "the server's explanation is kept though nobody asked",
    file: codes,
    edits: [["keepsDescription ? descriptionIn(body) : {}", "descriptionIn(body)"]],
    tests: of("explanations")
  }
]
