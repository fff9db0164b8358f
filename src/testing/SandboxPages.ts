/**
 * The pages of the sandboxed login service: plain HTML that works without scripts, by keyboard and with a screen reader.
 * The sentences are Keycloak's.
 */
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type { Objection } from "./SandboxAccounts.ts"
import type { Answer } from "./SandboxRequest.ts"

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;"
}

/** Text as HTML. */
export const escape = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => entities[character] ?? character)

const style = `
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
body { margin: 0; background: light-dark(#f2f4f7, #15181d); color: light-dark(#1b1f24, #eceff3) }
main { box-sizing: border-box; width: min(100%, 26rem); margin: 10vh auto 0; padding: 2rem; border-radius: .5rem;
  background: light-dark(#fff, #1f242b); box-shadow: 0 .25rem 1.5rem #0002 }
h1 { margin: 0 0 .25rem; font-size: 1.4rem }
p { margin: .25rem 0 1rem }
label { display: block; margin-top: 1rem; font-weight: 600 }
input { box-sizing: border-box; width: 100%; margin-top: .25rem; padding: .6rem; font: inherit;
  border: 1px solid light-dark(#6b7480, #8b95a1); border-radius: .25rem }
button { margin: 1.5rem .75rem 0 0; padding: .6rem 1.25rem; font: inherit; font-weight: 600; cursor: pointer;
  border: 1px solid light-dark(#0a58a8, #4f9fe8); border-radius: .25rem;
  background: light-dark(#0a58a8, #4f9fe8); color: light-dark(#fff, #0d1014) }
button.plain { background: none; color: light-dark(#0a58a8, #7cbaf3) }
[role=alert] { padding: .6rem .75rem; border-left: .25rem solid light-dark(#b3261e, #f2877f);
  background: light-dark(#fdecea, #3a2220) }
footer { margin-top: 1.5rem; font-size: .85rem; color: light-dark(#57606a, #a7b0bb) }`

const page = (heading: string, content: string, status = 200): Answer =>
  HttpServerResponse.text(
    `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(heading)}</title>
<style>${style}
</style>
</head>
<body>
<main>
<h1>${escape(heading)}</h1>
${content}
<footer>This is a sandbox: do not enter a password that you use elsewhere.</footer>
</main>
</body>
</html>
`,
    {
      status,
      contentType: "text/html; charset=utf-8",
      headers: {
        "cache-control": "no-store",
        "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff"
      }
    }
  )

const alert = (text: string | undefined) => (text === undefined ? "" : `<p role="alert" id="error">${escape(text)}</p>`)

const refusals: Readonly<Record<Objection, string>> = {
  unknown: "Invalid username or password.",
  wrong: "Invalid username or password.",
  locked: "Invalid username or password.",
  disabled: "Account is disabled, contact your administrator.",
  unfinished: "Your account is not fully set up."
}

/** Asks for username and password; `action` is where they go. */
export const login = (options: {
  readonly action: string
  readonly clientId: string
  readonly username?: string | undefined
  readonly refused?: Objection | undefined
}): Answer => {
  const { action, clientId, refused, username = "" } = options
  // Whoever comes back has typed the name already.
  const [first, second] = username === "" ? [" autofocus", ""] : ["", " autofocus"]
  const invalid = refused === undefined ? "" : ' aria-invalid="true" aria-describedby="error"'
  return page(
    "Sign in to your account",
    `<p>to continue to <strong>${escape(clientId)}</strong></p>
${alert(refused === undefined ? undefined : refusals[refused])}
<form id="kc-form-login" method="post" action="${escape(action)}">
<label for="username">Username or email</label>
<input id="username" name="username" type="text" autocomplete="username" autocapitalize="none" spellcheck="false"
  value="${escape(username)}" required${first}${invalid}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required${second}${invalid}>
<button type="submit" name="login">Sign In</button>
<button type="submit" name="cancel" value="true" class="plain" formnovalidate>Cancel</button>
</form>`
  )
}

/** Asks for the code that a device shows. */
export const deviceCode = (options: { readonly action: string; readonly wrong?: boolean | undefined }): Answer =>
  page(
    "Device Login",
    `<p>Enter the code provided by your device and click Submit</p>
${alert(options.wrong === true ? "Invalid code, please try again." : undefined)}
<form method="post" action="${escape(options.action)}">
<label for="user_code">Code</label>
<input id="user_code" name="user_code" type="text" autocomplete="off" autocapitalize="characters" spellcheck="false"
  required autofocus>
<button type="submit">Submit</button>
</form>`
  )

/** What became of a device's request. */
export const deviceDone = (approved: boolean): Answer =>
  approved
    ? page("Device Login Successful", "<p>You may close this browser window and go back to your device.</p>")
    : page("Device Login Failed", `${alert("Consent denied for connecting the device.")}`)

/** After a logout that leads nowhere else. */
export const loggedOut = (): Answer => page("You are logged out", "")

/** Why there is no login. It has no link, because the sender of the browser cannot be trusted to choose where it goes. */
export const error = (text: string): Answer => page("We are sorry...", alert(text), 400)
