/** Queries as api.video reads them: `tags[]=a`, `metadata[k]=v`, `filterBy[country][]=FR`. */

/** One parameter of a query, or one field of a form. */
export type Pair = readonly [name: string, value: string]

/** What the brackets say: texts in lists and objects. */
export type Tree = string | ReadonlyArray<Tree> | { readonly [name: string]: Tree }

/** The parameters of a value. */
export const pairsOf = (name: string, value: unknown): ReadonlyArray<Pair> => {
  if (value === undefined) return []
  if (Array.isArray(value)) return value.flatMap((item) => pairsOf(`${name}[]`, item))
  if (typeof value === "object" && value !== null) {
    return Object.entries(value).flatMap(([key, item]) => pairsOf(`${name}[${key}]`, item))
  }
  return [[name, String(value)]]
}

/** The parameters of all members of an object. */
export const allPairsOf = (value: object): ReadonlyArray<Pair> =>
  Object.entries(value).flatMap(([name, member]) => pairsOf(name, member))

/** `a[b][]` as a, b and "". A name that doesn't end with a bracket has none, so keys may have brackets inside. */
const segmentsOf = (name: string): ReadonlyArray<string> => {
  const start = name.indexOf("[")
  return start < 1 || !name.endsWith("]") ? [name] : [name.slice(0, start), ...name.slice(start + 1, -1).split("][")]
}

interface Node {
  readonly texts: Array<string>
  readonly members: Map<string, Node>
}

const emptyNode = (): Node => ({ texts: [], members: new Map() })

const memberOf = ({ members }: Node, key: string): Node => {
  const node = members.get(key) ?? emptyNode()
  members.set(key, node)
  return node
}

const treeOfNode = ({ members, texts }: Node): Tree => {
  const items = members.get("")
  if (items !== undefined && members.size === 1) return [...texts, ...items.texts]
  if (members.size > 0) return Object.fromEntries([...members].map(([key, node]) => [key, treeOfNode(node)]))
  return texts.at(-1) ?? ""
}

/** What parameters say, the other way round. Of a parameter without brackets that is there twice, the last one counts. */
export const treeOf = (pairs: Iterable<Pair>): { readonly [name: string]: Tree } => {
  const root = emptyNode()
  for (const [name, value] of pairs) segmentsOf(name).reduce(memberOf, root).texts.push(value)
  return Object.fromEntries([...root.members].map(([name, node]) => [name, treeOfNode(node)]))
}
