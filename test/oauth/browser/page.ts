/** A page that signs in with the authorization code flow and nothing but `oauth4webapi`: a public client in a browser. */
import * as oauth from "oauth4webapi"

const insecure = { [oauth.allowInsecureRequests]: true }
const settings = new URLSearchParams(location.hash.slice(1))
// What outlives the way to the server and back.
const kept = (name: string, value = settings.get(name)) => {
  if (value !== null) sessionStorage.setItem(name, value)
  return sessionStorage.getItem(name) ?? ""
}
const issuer = new URL(kept("issuer"))
const whoami = kept("whoami")
const client = { client_id: kept("client_id") }
const redirectUri = `${location.origin}/`

const show = (text: string) => {
  document.querySelector("output")!.textContent = text
}

const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure))

const leave = async () => {
  const verifier = kept("verifier", oauth.generateRandomCodeVerifier())
  const url = new URL(server.authorization_endpoint!)
  url.search = new URLSearchParams({
    ...client,
    response_type: "code",
    redirect_uri: redirectUri,
    scope: "openid",
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state: kept("state", oauth.generateRandomState()),
    nonce: kept("nonce", oauth.generateRandomNonce())
  }).toString()
  location.assign(url)
}

const comeBack = async () => {
  const parameters = oauth.validateAuthResponse(server, client, new URL(location.href), kept("state"))
  history.replaceState(null, "", "/")
  const response = await oauth.authorizationCodeGrantRequest(
    server,
    client,
    oauth.None(),
    parameters,
    redirectUri,
    kept("verifier"),
    insecure
  )
  const tokens = await oauth.processAuthorizationCodeResponse(server, client, response, {
    expectedNonce: kept("nonce")
  })
  const answer = await oauth.protectedResourceRequest(
    tokens.access_token,
    "GET",
    new URL(whoami),
    undefined,
    undefined,
    insecure
  )
  const { sub } = await answer.json()
  show(`Signed in as ${sub}`)
}

document.querySelector("button")!.addEventListener("click", () => void leave())
if (location.search === "") show("Ready")
else
  await comeBack().catch((error) =>
    show(error instanceof oauth.AuthorizationResponseError ? `Refused: ${error.error}` : String(error))
  )
