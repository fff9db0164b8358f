/** Ways to break what OAuth 2 and OpenID Connect ask of a client. */
import type { Mutant } from "./mutant.ts"

const code = "src/oauth/shared/code.ts"
const device = "src/oauth/DeviceAuthorization.ts"
const grants = "src/oauth/shared/grants.ts"
const oauth = "src/oauth/shared/oauth.ts"
const signIn = "src/oauth/internal/signIn.ts"

const of = (name: string) => [`test/oauth/${name}.test.ts`]

export const ofOAuth: ReadonlyArray<Mutant> = [
  {
    breaks: "sign-in",
    name: "a redirect is good twice",
    file: code,
    edits: [["yield* store.remove(keyOf(client, state))", ""]],
    tests: of("signIn")
  },
  {
    breaks: "sign-in",
    name: "a redirect is good for ever",
    file: code,
    edits: [["Option.isNone(pending) || now >= pending.value.expiresAt", "Option.isNone(pending)"]],
    tests: of("signIn")
  },
  {
    breaks: "sign-in",
    name: "PKCE shows its verifier",
    file: code,
    edits: [
      ["code_challenge: challenge", "code_challenge: verifier"],
      ['code_challenge_method: "S256"', 'code_challenge_method: "plain"']
    ],
    tests: of("signIn")
  },
  {
    breaks: "sign-in",
    name: "a client finishes what another one began",
    file: code,
    edits: [["authorization-code/${server.baseUrl} ${options.clientId}/${state}", "authorization-code/${state}"]],
    tests: of("signIn")
  },
  {
    breaks: "sign-in",
    name: "a sign-in may be of any age",
    file: code,
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
    file: code,
    edits: [
      [
        "...(nonce !== undefined && { requireIdToken: true, expectedNonce: nonce }),",
        "expectedNonce: nonceOf(body) ?? oauth.expectNoNonce,"
      ],
      [
        "const refused = refusalOfCode(",
        'const nonceOf = (body: any) => body.id_token && JSON.parse(atob(body.id_token.split(".")[1])).nonce\nconst refused = refusalOfCode('
      ]
    ],
    tests: of("signIn")
  },
  {
    breaks: "sign-in",
    name: "who leaves while a code is traded loses the token",
    file: code,
    edits: [["const { claims } = yield* Effect.uninterruptible(", "const { claims } = yield* Effect.interruptible("]],
    tests: of("signIn")
  },
  {
    breaks: "sign-in",
    name: "a sign-in leaves the credential that was there",
    file: signIn,
    edits: [["arriving === undefined ? forget : replace(arriving)", "forget"]],
    tests: of("signIn")
  },
  {
    breaks: "sign-in",
    name: "slow_down does not slow down",
    file: device,
    edits: [['if (code === "slow_down") pause += slowerBy', 'if (code === "slow_down") pause += 0']],
    tests: of("device")
  },
  {
    breaks: "sign-in",
    name: "a person is sent to a page that is not secure",
    file: device,
    edits: [
      ["isSecureOrigin(verification_uri) && isSecureOrigin(verification_uri_complete ?? verification_uri)", "true"]
    ],
    tests: of("device")
  },
  {
    breaks: 4,
    name: "a server that gives no new refresh token ends the session",
    file: grants,
    edits: [["answer.refreshToken === undefined && client.options.rotatesRefreshToken !== true", "false"]],
    tests: of("grants")
  },
  {
    breaks: 6,
    name: "a refused refresh token is a wrong password",
    file: oauth,
    edits: [['return operation === "refresh"\n        ? new', 'return operation !== "refresh"\n        ? new']],
    tests: of("grants")
  },
  {
    breaks: 10,
    name: "metadata may lead to any host",
    file: oauth,
    edits: [
      ["hosts === undefined || hosts.some((host) => originOf(`${protocol}//${host}`) === originOf(url))", "true"]
    ],
    tests: of("discovery")
  },
  {
    breaks: 10,
    name: "metadata may lead to a server that is not secure",
    file: oauth,
    edits: [["!isSecureOrigin(url)", "false"]],
    tests: of("discovery")
  },
  {
    breaks: 10,
    name: "metadata may be those of another issuer",
    file: oauth,
    edits: [["(response) => oauth.processDiscoveryResponse(at, response)", "(response) => response.json() as never"]],
    tests: of("discovery")
  },
  {
    breaks: 8,
    name: "metadata are kept for ever",
    file: oauth,
    edits: [
      [
        "Exit.isSuccess(exit) ? exit.value.lifetime : Duration.zero",
        "Exit.isSuccess(exit) ? Duration.infinity : Duration.zero"
      ]
    ],
    tests: of("discovery")
  }
]
