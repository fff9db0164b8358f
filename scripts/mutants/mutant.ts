/**
 * A way to break the library, as data: it breaks one thing, and a test has to notice.
 *
 * An edit replaces a text that occurs exactly once in its file. Where the source has moved on, the script says so and
 * the mutant has to follow.
 */
export interface Mutant {
  /** Which of the ten guarantees, or what else is promised. */
  readonly breaks: 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | "encryption" | "sign-in" | "store"
  readonly name: string
  readonly file: string
  readonly edits: ReadonlyArray<readonly [search: string, replace: string]>
  /** Where a test notices. */
  readonly tests: ReadonlyArray<string>
}
