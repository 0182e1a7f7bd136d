/** What stands before a packet in the kernel's log, where a rule's action is Log. */

/** Whose rules they are: a policy or a profile, with what a log line may say of it. */
export interface RuleOwner {
  readonly kind: "policy" | "profile";
  /** The policy's key or the profile's name, as the flow log and counters name it. */
  readonly name: string;
  /** As in `gnp`. */
  readonly shortKind: string;
  /** `namespace/name`, or the name alone. */
  readonly fullName: string;
  readonly tier: string;
}

/** `%t` is the tier, `%k` the kind, `%p` the name with its namespace, `%n` the name alone. */
export function logPrefix(pattern: string, owner: RuleOwner): string {
  const words: Record<string, string> = {
    t: owner.tier,
    k: owner.shortKind,
    n: owner.fullName.slice(owner.fullName.indexOf("/") + 1),
    p: owner.fullName,
  };
  return pattern.replaceAll(/%([tknp])/g, (_, letter: string) => words[letter] as string);
}
