/**
 * A strict netfilter made of Maps, behind the `Run` interface: understands the restore languages of iptables and ipset
 * and refuses what the kernel refuses (jumps to nowhere, deleting a chain or set in use, loops, sets that do not
 * exist, duplicates, full sets). A section is applied whole or not at all; ipset commands one by one.
 *
 * Others' tools are played by `edit`; races by `beforeRestore`.
 */

import { splitWords } from "../quote.ts";
import type { Run, RunResult } from "../run.ts";

const BUILT_IN: Record<string, string[]> = {
  raw: ["PREROUTING", "OUTPUT"],
  mangle: ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
  nat: ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
  filter: ["INPUT", "FORWARD", "OUTPUT"],
  security: ["INPUT", "FORWARD", "OUTPUT"],
};

/** Chain name -> rules, as the words after `-A chain`. */
type Chains = Map<string, string[]>;

interface FakeSet {
  type: string;
  family: string;
  maxelem: number;
  members: Set<string>;
}

class Refused extends Error {
  readonly line: number;
  constructor(line: number, message: string) {
    super(message);
    this.line = line;
  }
}

export class FakeKernel {
  /** Every process started: command, words, input. */
  readonly calls: { command: string; args: readonly string[]; stdin: string }[] = [];
  /** By program family ("iptables-nft"), then table. */
  readonly #programs = new Map<string, Map<string, Chains>>();
  readonly sets = new Map<string, FakeSet>();
  /** Runs just before a restore takes effect: what another program does in that moment. */
  beforeRestore: ((input: string) => void) | undefined;
  /** Lines of iptables-restore to refuse: a program that does not understand its own words. */
  refuse: ((line: string) => boolean) | undefined;
  /** Results to give instead of running, first one first. */
  readonly failures: Partial<RunResult>[] = [];
  /** When false, the variant's programs are missing. */
  installed: { nft: boolean; legacy: boolean } = { nft: true, legacy: true };

  /** Chains of a table; the built-in ones exist from the beginning. */
  table(name: string, program = "iptables-nft"): Chains {
    let tables = this.#programs.get(program);
    if (!tables) {
      tables = new Map();
      this.#programs.set(program, tables);
    }
    let chains = tables.get(name);
    if (!chains) {
      chains = new Map(BUILT_IN[name]!.map(chain => [chain, []]));
      tables.set(name, chains);
    }
    return chains;
  }

  /** What somebody else types: one section's lines. */
  edit(table: string, ...lines: string[]): void {
    const result = this.#restore("iptables-nft", [`*${table}`, ...lines, "COMMIT"].join("\n"));
    if (result.code !== 0) throw new Error(result.stderr);
  }

  /** Rules of a chain without the hash comments. */
  rules(table: string, chain: string, program?: string): string[] | undefined {
    return this.table(table, program)
      .get(chain)
      ?.map(r => r.replace(/^-m comment --comment "[a-z]+:[\w-]{16}" ?/, ""));
  }

  /** Processes that changed something, since the last call. */
  takeRestores(): string[] {
    const inputs = this.calls.filter(c => /restore$/.test(c.command) || c.args[0] === "restore");
    const texts = inputs.filter(c => !c.args.includes("--version")).map(c => c.stdin);
    this.calls.length = 0;
    return texts;
  }

  readonly run: Run = async (command, args, stdin = "") => {
    this.calls.push({ command, args, stdin });
    await Promise.resolve();
    const [, program, variant, action] = /^(ip6?tables-(nft|legacy))-(save|restore)$/.exec(command) ?? [];
    if (variant && !this.installed[variant as "nft" | "legacy"]) throw new Error(`spawn ${command} ENOENT`);
    if (args[0] === "--version" && variant)
      return ok(`${command} v1.8.9 (${variant === "nft" ? "nf_tables" : "legacy"})\n`);
    const failure = this.failures.shift();
    if (failure) return { code: 1, stdout: "", stderr: "", ...failure };
    if (program && action === "save") return ok(this.#save(program, args[1]));
    if (program && action === "restore") {
      if (!args.includes("--noflush")) throw new Error("a restore without --noflush would wipe the host");
      this.beforeRestore?.(stdin);
      return this.#restore(program, stdin);
    }
    if (command === "ipset" && args[0] === "save") return ok(this.#saveSets());
    if (command === "ipset" && args[0] === "restore") {
      this.beforeRestore?.(stdin);
      return this.#restoreSets(stdin);
    }
    throw new Error(`spawn ${command} ENOENT`);
  };

  #save(program: string, only?: string): string {
    const names = only ? [only] : [...(this.#programs.get(program)?.keys() ?? [])];
    return names
      .map(name => {
        const chains = this.table(name, program);
        const heads = [...chains.keys()].map(
          c => `:${c} ${BUILT_IN[name]!.includes(c) ? "ACCEPT" : "-"} [0:0]`,
        );
        const rules = [...chains].flatMap(([c, list]) => list.map(r => `-A ${c} ${r}`.trimEnd()));
        return `# Generated\n*${name}\n${[...heads, ...rules].join("\n")}\nCOMMIT\n# Completed\n`;
      })
      .join("");
  }

  #restore(program: string, input: string): RunResult {
    let name = "";
    let chains: Chains | undefined;
    try {
      for (const [i, line] of input.split("\n").entries()) {
        const number = i + 1;
        if (line === "") continue;
        if (this.refuse?.(line)) throw new Refused(number, "refused");
        if (line.startsWith("*")) {
          name = line.slice(1);
          if (!BUILT_IN[name]) throw new Refused(number, "no such table");
          chains = new Map([...this.table(name, program)].map(([c, rules]) => [c, [...rules]]));
        } else if (!chains) {
          throw new Refused(number, "outside of a table");
        } else if (line === "COMMIT") {
          checkLoops(chains, number);
          const table = this.table(name, program);
          table.clear();
          for (const [c, rules] of chains) table.set(c, rules);
          chains = undefined;
        } else {
          this.#command(name, chains, line, number);
        }
      }
      if (chains) throw new Refused(input.split("\n").length, "COMMIT expected");
      return ok("");
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return {
        code: 1,
        stdout: "",
        stderr: `iptables-restore: line ${error.line} failed: ${error.message}\n`,
      };
    }
  }

  #command(table: string, chains: Chains, line: string, number: number): void {
    if (line.startsWith(":")) {
      const [chain = "", policy] = line.slice(1).split(" ");
      const builtIn = BUILT_IN[table]!.includes(chain);
      if (builtIn !== (policy !== "-")) throw new Refused(number, "policy only for built-in chains");
      if (chain.length > 28) throw new Refused(number, "name too long");
      if (!builtIn) chains.set(chain, []);
      return;
    }
    const [verb = "", chain = ""] = line.split(" ", 2);
    const rest = line.slice(verb.length + chain.length + 2);
    const rules = chains.get(chain);
    if (!rules) throw new Refused(number, `chain ${chain} does not exist`);
    const index = Number(rest) - 1;
    switch (verb) {
      case "-A":
        this.#checkRule(chains, rest, number);
        rules.push(rest);
        return;
      case "-I":
        this.#checkRule(chains, rest, number);
        rules.unshift(rest);
        return;
      case "-D": {
        const at = /^\d+$/.test(rest) ? index : rules.indexOf(rest);
        if (at < 0 || at >= rules.length)
          throw new Refused(number, "Bad rule (does a matching rule exist in that chain?)");
        rules.splice(at, 1);
        return;
      }
      case "-F":
        rules.length = 0;
        return;
      case "-X":
        if (BUILT_IN[table]!.includes(chain)) throw new Refused(number, "built-in chain");
        if (rules.length > 0) throw new Refused(number, "Directory not empty");
        if ([...chains.values()].some(list => list.some(r => targetOf(r) === chain)))
          throw new Refused(number, "Device or resource busy");
        chains.delete(chain);
        return;
      default:
        throw new Refused(number, `unknown command ${verb}`);
    }
  }

  #checkRule(chains: Chains, text: string, number: number): void {
    const target = targetOf(text);
    if (target !== undefined && !/^[A-Z]+$/.test(target) && !chains.has(target))
      throw new Refused(number, `Chain '${target}' does not exist`);
    const words = splitWords(text);
    for (const [i, word] of words.entries())
      if (word === "--match-set" && !this.sets.has(words[i + 1]!))
        throw new Refused(number, `Set ${words[i + 1]} doesn't exist.`);
  }

  #saveSets(): string {
    return [...this.sets]
      .map(([name, set]) =>
        [
          `create ${name} ${set.type} family ${set.family} hashsize 1024 maxelem ${set.maxelem} bucketsize 12 initval 0x1`,
          ...[...set.members].map(m => `add ${name} ${m}`),
          "",
        ].join("\n"),
      )
      .join("");
  }

  #restoreSets(input: string): RunResult {
    for (const [i, line] of input.split("\n").entries()) {
      const message = line === "" ? undefined : this.#setCommand(line);
      if (message)
        return { code: 1, stdout: "", stderr: `ipset v7.17: Error in line ${i + 1}: ${message}\n` };
    }
    return ok("");
  }

  /** Returns why not, if not. */
  #setCommand(line: string): string | undefined {
    const [verb, name = "", ...words] = line.split(" ");
    const set = this.sets.get(name);
    const missing = "The set with the given name does not exist";
    switch (verb) {
      case "create": {
        const [type = "", , family = "", , maxelem] = words;
        if (name.length > 31) return "Syntax error: setname too long";
        if (set && (set.type !== type || set.maxelem !== Number(maxelem)))
          return "Set cannot be created: set with the same name already exists";
        if (!set) this.sets.set(name, { type, family, maxelem: Number(maxelem), members: new Set() });
        return undefined;
      }
      case "add":
        if (!set) return missing;
        if (words[0]!.endsWith("/0")) return "The value of the CIDR parameter of the IP address is invalid";
        if (!set.members.has(words[0]!) && set.members.size >= set.maxelem)
          return "Hash is full, cannot add more elements";
        set.members.add(words[0]!);
        return undefined;
      case "del":
        if (!set) return missing;
        set.members.delete(words[0]!);
        return undefined;
      case "destroy":
        if (this.#setInUse(name)) return "Set cannot be destroyed: it is in use by a kernel component";
        this.sets.delete(name);
        return undefined;
      case "swap": {
        const other = this.sets.get(words[0]!);
        if (!set || !other) return missing;
        if (set.type !== other.type || set.family !== other.family)
          return "The sets cannot be swapped: their type does not match";
        this.sets.set(name, other);
        this.sets.set(words[0]!, set);
        return undefined;
      }
      default:
        return `unknown command ${verb}`;
    }
  }

  #setInUse(name: string): boolean {
    for (const tables of this.#programs.values())
      for (const chains of tables.values())
        for (const rules of chains.values())
          for (const rule of rules) if (splitWords(rule).includes(name)) return true;
    return false;
  }
}

const ok = (stdout: string): RunResult => ({ code: 0, stdout, stderr: "" });

function targetOf(text: string): string | undefined {
  const words = splitWords(text);
  const at = words.findIndex(w => w === "-j" || w === "-g");
  return at < 0 ? undefined : words[at + 1];
}

function checkLoops(chains: Chains, line: number): void {
  const done = new Set<string>();
  const visit = (chain: string, above: ReadonlySet<string>) => {
    if (above.has(chain)) throw new Refused(line, "Too many levels of symbolic links");
    if (done.has(chain)) return;
    const path = new Set(above).add(chain);
    for (const rule of chains.get(chain) ?? []) {
      const target = targetOf(rule);
      if (target !== undefined && chains.has(target)) visit(target, path);
    }
    done.add(chain);
  };
  for (const chain of chains.keys()) visit(chain, new Set());
}
