/** Options that several commands share, worded once. */

import { Command, InvalidArgumentError, Option } from "commander";
import type { Context } from "./context.ts";

export interface GlobalOptions {
  readonly logLevel: string;
  readonly context?: string;
  readonly allowVersionMismatch?: true;
}

export interface DatastoreOptions extends GlobalOptions {
  readonly config?: string;
}

export interface NamespaceOptions {
  readonly namespace?: string;
}

export interface FileOptions {
  readonly filename?: string[];
  readonly recursive?: true;
  readonly skipEmpty?: true;
}

/** A command's frame: its name, what it does, and the options that every command takes. */
export function newCommand(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .addOption(logLevel())
    .addOption(kubeContext())
    .addOption(mismatch());
}

export function logLevel(): Option {
  return new Option("-l, --log-level <level>", "how much to tell about errors")
    .choices(["panic", "fatal", "error", "warn", "info", "debug"])
    .default("panic");
}

export function kubeContext(): Option {
  return new Option("--context <name>", "the context in the kubeconfig file to use");
}

export function mismatch(): Option {
  return new Option("--allow-version-mismatch", "work on a cluster of another major version of Calico");
}

export function config(): Option {
  return new Option(
    "-c, --config <file>",
    "the datastore's configuration (default: the environment, then /etc/calico/calicoctl.cfg)",
  );
}

export function namespace(): Option {
  return new Option(
    "-n, --namespace <name>",
    "the namespace, for kinds that have one and documents that say none",
  );
}

export function filename(): Option {
  return new Option(
    "-f, --filename <file>",
    "a file, a folder, or - for stdin; may be given several times",
  ).argParser((value: string, previous: string[] | undefined) => [...(previous ?? []), value]);
}

export function recursive(): Option {
  return new Option("-R, --recursive", "go into the folders of a folder too");
}

export function skipEmpty(): Option {
  return new Option("--skip-empty", "files without resources are no error");
}

/** For a command that reads resources from files. */
export function withFiles(command: Command, required = true): Command {
  const file = filename();
  if (required) file.makeOptionMandatory();
  return command.addOption(file).addOption(recursive()).addOption(skipEmpty());
}

export function withDatastore(command: Command): Command {
  return command.addOption(namespace()).addOption(config());
}

/** `--output`, checked by the command that has it. */
export function output(fallback: string, formats: string): Option {
  return new Option("-o, --output <format>", formats).default(fallback);
}

export function count(value: string): number {
  if (!/^\d+$/.test(value)) throw new InvalidArgumentError("expected a whole number, 0 or more");
  return Number(value);
}

/** Examples under a command's help: each a comment and a line to type. */
export function examples(
  command: Command,
  lines: readonly (readonly [comment: string, line: string])[],
): Command {
  const text = lines
    .map(([comment, line]) => `  # ${comment}\n  ${line.replaceAll("\n", "\n  ")}`)
    .join("\n\n");
  return command.addHelpText("after", `\nExamples:\n${text}\n`);
}

/** What every entry of the table in main.ts loads. */
export type CommandModule = (context: Context) => Command;
