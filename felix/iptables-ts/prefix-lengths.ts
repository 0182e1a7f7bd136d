/**
 * Which deletions the kernel's readers notice. A set of networks has a list of the prefix lengths that occur in it, longest first, and a
 * packet is looked up length by length, without a lock. When the last network of a length goes, the lengths behind it move up; a
 * packet that is being looked up in that moment skips one, and misses a member that has been there all the time.
 */

/**
 * Whether `deleted` leaves none of its length among `members` (what remains) while a shorter one remains. Elements are spelled as the kernel
 * prints them. Costs little where the lengths that go are frequent among those that stay.
 */
export function losesPrefixLength(
  type: string,
  ipVersion: 4 | 6,
  members: Iterable<string>,
  deleted: Iterable<string>,
): boolean {
  const dimensions = type.slice(type.indexOf(":") + 1).split(",");
  return dimensions.some((dimension, at) => {
    if (dimension !== "net") return false;
    const gone = new Set<number>();
    for (const element of deleted) gone.add(lengthOf(element, at, ipVersion));
    let shortest = Number.POSITIVE_INFINITY;
    for (const member of members) {
      if (gone.size === 0) return false;
      const length = lengthOf(member, at, ipVersion);
      gone.delete(length);
      shortest = Math.min(shortest, length);
    }
    return [...gone].some(length => length > shortest);
  });
}

function lengthOf(element: string, dimension: number, ipVersion: 4 | 6): number {
  const net = element.split(",")[dimension] ?? "";
  const slash = net.indexOf("/");
  if (slash < 0) return ipVersion === 4 ? 32 : 128;
  // Everything is held as its two halves.
  return Math.max(1, Number(net.slice(slash + 1)));
}
