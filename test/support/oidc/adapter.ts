/** Where the provider keeps what it issues: in memory, and open to tests that revoke or expire it. */
import type { Adapter, Payload } from "oidc-provider"

/** What can be revoked together, by the grant that it was issued for. */
const ofGrants = new Set(["AccessToken", "AuthorizationCode", "DeviceCode", "RefreshToken"])

export const make = () => {
  const models = new Map<string, Map<string, Payload>>()
  const of = (model: string) => {
    const kept = models.get(model) ?? new Map<string, Payload>()
    models.set(model, kept)
    return kept
  }

  const adapter = (model: string): Adapter => {
    const kept = of(model)
    const where = async (matches: (payload: Payload) => boolean) => [...kept.values()].find(matches)
    return {
      upsert: async (id, payload) => void kept.set(id, payload),
      // Expired ones as well: the provider checks, and says more of them than that they are unknown.
      find: async (id) => kept.get(id),
      findByUid: (uid) => where((payload) => payload.uid === uid),
      findByUserCode: (userCode) => where((payload) => payload.userCode === userCode),
      consume: async (id) => {
        const payload = kept.get(id)
        if (payload !== undefined) payload.consumed = Math.floor(Date.now() / 1000)
      },
      destroy: async (id) => void kept.delete(id),
      revokeByGrantId: async (grantId) => {
        for (const [name, others] of models)
          if (ofGrants.has(name)) for (const [id, payload] of others) if (payload.grantId === grantId) others.delete(id)
      }
    }
  }

  return {
    adapter,
    /** Forgets all of these. */
    revoke: (...names: ReadonlyArray<string>) => {
      for (const name of names) of(name).clear()
    },
    /** All of these are past their end. */
    expire: (...names: ReadonlyArray<string>) => {
      for (const name of names) for (const payload of of(name).values()) payload.exp = 1
    }
  }
}
