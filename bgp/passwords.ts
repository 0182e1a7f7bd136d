/**
 * Where TCP MD5 passwords come from. BGPPeer and BGPConfiguration name a Kubernetes secret and a key in it; where there is no
 * Kubernetes they are a file, `<directory>/<secret>/<key>` (which is also what a mounted secret looks like), or a variable of
 * the environment, `CALYX_BGP_PASSWORD_<SECRET>_<KEY>` in capitals, with _ for everything else but digits.
 */

import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";

export interface SecretReference {
  readonly name: string;
  readonly key: string;
}

export interface PasswordAnswer {
  readonly password?: string;
  /** What is wrong; with a password, what would better be otherwise. */
  readonly problem?: string;
}

/** Asked again and again: passwords appear and change without an event. */
export type PasswordSource = (secret: SecretReference) => PasswordAnswer;

const OTHERS_MAY_READ = 0o004;

/** What the first source has, or what all of them find wrong. */
export function firstPassword(...sources: readonly PasswordSource[]): PasswordSource {
  return secret => {
    const problems: string[] = [];
    for (const source of sources) {
      const answer = source(secret);
      if (answer.password !== undefined) return answer;
      if (answer.problem !== undefined) problems.push(answer.problem);
    }
    return { problem: problems.join("; ") };
  };
}

export function filePasswords(directory: string): PasswordSource {
  return ({ name, key }) => {
    const path = join(directory, name, key);
    try {
      const password = readFileSync(path, "utf8").trimEnd();
      if (password === "") return { problem: `password ${path} is empty` };
      if ((statSync(path).mode & OTHERS_MAY_READ) === 0) return { password };
      return { password, problem: `password ${path} can be read by every user of this host` };
    } catch (error) {
      return { problem: `password ${path} is not readable (${(error as NodeJS.ErrnoException).code})` };
    }
  };
}

export function environmentPasswords(env: Readonly<Record<string, string | undefined>>): PasswordSource {
  return ({ name, key }) => {
    const variable = `CALYX_BGP_PASSWORD_${name}_${key}`.toUpperCase().replace(/[^A-Z0-9]/g, "_");
    const password = env[variable];
    return password ? { password } : { problem: `${variable} is not set` };
  };
}
