/**
 * The services that a platform's layers provide beside its client.
 *
 * @since 0.1.0
 */

/**
 * The `TokenService` of a platform's client. A platform's `layer` provides it beside the client, under a key of the
 * platform's own, so that the layers of several platforms merge.
 *
 * @category services
 * @since 0.1.0
 */
export interface Tokens<Self> {
  readonly tokensOf: Self
}

/**
 * The clients of many identities. A platform's `layerMap` provides them, and its `clientFor` takes them from the context.
 *
 * @category services
 * @since 0.1.0
 */
export interface Clients<Self> {
  readonly clientsOf: Self
}
