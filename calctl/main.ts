#!/usr/bin/env node
/**
 * `calctl`: finds the command in the table, loads that one alone (so that `calctl version` does not pay for etcd's
 * client), runs it, and turns whatever is thrown into one message and an exit code.
 */

import { Command, CommanderError } from "commander";
import { systemClock } from "../daemon/clock.ts";
import { DatastoreError } from "../datastore/errors.ts";
import type { Context } from "./context.ts";
import { errorText } from "./error-text.ts";
import { CommandError } from "./errors.ts";
import { type CommandModule, kubeContext, logLevel, mismatch } from "./options.ts";

interface CommandEntry {
  readonly name: string;
  readonly description: string;
  readonly load: () => Promise<CommandModule>;
}

const COMMANDS: readonly CommandEntry[] = [
  {
    name: "apply",
    description: "create the resources of files, or bring existing ones to what the files say",
    load: async () => (await import("./commands/apply.ts")).applyCommand,
  },
  {
    name: "create",
    description: "create the resources of files; they must not exist",
    load: async () => (await import("./commands/create.ts")).createCommand,
  },
  {
    name: "replace",
    description: "replace existing resources by those of files",
    load: async () => (await import("./commands/replace.ts")).replaceCommand,
  },
  {
    name: "delete",
    description: "delete resources, by name or by file",
    load: async () => (await import("./commands/delete.ts")).deleteCommand,
  },
  {
    name: "get",
    description: "show resources",
    load: async () => (await import("./commands/get.ts")).getCommand,
  },
  {
    name: "patch",
    description: "change fields of a resource",
    load: async () => (await import("./commands/patch.ts")).patchCommand,
  },
  {
    name: "label",
    description: "set or remove a label of a resource",
    load: async () => (await import("./commands/label.ts")).labelCommand,
  },
  {
    name: "validate",
    description: "say what is wrong with files, without a datastore",
    load: async () => (await import("./commands/validate.ts")).validateCommand,
  },
  {
    name: "convert",
    description: "turn Calico v1 and Kubernetes policies into projectcalico.org/v3",
    load: async () => (await import("./commands/convert.ts")).convertCommand,
  },
  {
    name: "simulate",
    description: "say which packets policies let through, from files or before a change is applied",
    load: async () => (await import("./commands/simulate/index.ts")).simulateCommand,
  },
  {
    name: "why",
    description: "say why a packet passes or not, rule by rule, and whether the kernel agrees",
    load: async () => (await import("./commands/why/index.ts")).whyCommand,
  },
  {
    name: "ipam",
    description: "look at addresses: pools, blocks, leaks; release them",
    load: async () => (await import("./commands/ipam/index.ts")).ipamCommand,
  },
  {
    name: "bgp",
    description: "look into the BGP daemon of this host: peers, routes; refresh and reset sessions",
    load: async () => (await import("./commands/bgp/index.ts")).bgpCommand,
  },
  {
    name: "flows",
    description: "show who talked to whom on this host, and which policy decided",
    load: async () => (await import("./commands/flows.ts")).flowsCommand,
  },
  {
    name: "datastore",
    description: "lock and unlock the datastore",
    load: async () => (await import("./commands/datastore.ts")).datastoreCommand,
  },
  {
    name: "lab",
    description: "hosts in network namespaces on this machine: try things, break things",
    load: async () => (await import("../lab/command.ts")).labCommand,
  },
  {
    name: "node",
    description: "make this host a node of the cluster; show how it is",
    load: async () => (await import("./commands/node/index.ts")).nodeCommand,
  },
  {
    name: "version",
    description: "print the versions of calctl and of the cluster",
    load: async () => (await import("./commands/version.ts")).versionCommand,
  },
];

const ABOUT = `calctl reads and writes the state of a Calyx or Calico network.

The datastore is the one named by --config, else by the environment (DATASTORE_TYPE, ETCD_ENDPOINTS and so on, each also with the prefix CALICO_), else by /etc/calico/calicoctl.cfg, else a file on this machine.

Exit code: 0, or 1 on any error; 3 where 'simulate --fail-on-close' finds that a flow would close.`;

/** Runs one command line. @returns the exit code */
export async function run(words: readonly string[], context: Context, commands = COMMANDS): Promise<number> {
  // What people type first; the cluster's version is asked for by the command.
  const argv = words[0] === "--version" ? ["version", "--client"] : words;
  const program = new Command("calctl")
    .description(ABOUT)
    .usage("COMMAND [options]")
    .enablePositionalOptions()
    .addOption(logLevel())
    .addOption(kubeContext())
    .addOption(mismatch());
  try {
    const wanted = commandWord(argv);
    for (const { name, description, load } of commands) {
      const command = name === wanted ? (await load())(context) : new Command(name).description(description);
      program.addCommand(command);
    }
    intoContext(program, context);
    await program.parseAsync(argv, { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode;
    const verbose = /^(debug|info)$/.test(String(program.opts()["logLevel"])) || argv.includes("debug");
    context.stderr.write(`${messageOf(error, verbose)}\n`);
    return error instanceof CommandError ? error.exitCode : 1;
  }
}

/** The command, or what `help` is asked about: the first word that is no option of the program nor its value. */
function commandWord(argv: readonly string[]): string | undefined {
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!;
    if (word === "-l" || word === "--log-level" || word === "--context") i++;
    else if (word !== "help" && !word.startsWith("-")) return word;
  }
  return undefined;
}

/** Makes a command and all below it write to the context and throw instead of exiting. */
function intoContext(command: Command, context: Context): void {
  command.exitOverride().configureOutput({
    writeOut: text => void context.stdout.write(text),
    writeErr: text => void context.stderr.write(text),
  });
  for (const child of command.commands) intoContext(child, context);
}

/** One message for what a user or the world did wrong; the stack too for a mistake of ours. */
function messageOf(error: unknown, verbose: boolean): string {
  if (!(error instanceof Error)) return String(error);
  const expected = error instanceof CommandError || error instanceof DatastoreError || "code" in error;
  if (expected && !verbose) return errorText(error);
  return error.stack ?? error.message;
}

/** The world outside, for a real process. */
function processContext(): Context {
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    cwd: process.cwd(),
    clock: systemClock,
    openDatastore: async (context, configFile) =>
      (await import("./open-datastore.ts")).openDatastore(context, configFile),
  };
}

async function main(): Promise<void> {
  // `calctl get … | head` ends us in the middle of writing: that is no error.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
  const code = await run(process.argv.slice(2), processContext());
  // To exit is to drop what a pipe has not taken yet.
  await new Promise(taken => process.stdout.write("", taken));
  // A command that runs another program leaves that program's exit code.
  process.exit(code || process.exitCode);
}

if (import.meta.main) void main();
