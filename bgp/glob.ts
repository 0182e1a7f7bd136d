/** Names of interfaces as resources give them: `*` stands for any rest or part of a name. */
export function globPattern(glob: string): RegExp {
  const escaped = glob.split("*").map(part => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${escaped.join(".*")}$`);
}
