import type { Command } from "commander";
import type { Context } from "../../context.ts";
import { CommandError } from "../../errors.ts";
import { config, examples, filename, newCommand, output } from "../../options.ts";
import type { DiffOptions } from "./diff.ts";
import type { SimulateOptions } from "./simulate.ts";

type Options = SimulateOptions & DiffOptions & { readonly diff?: true };

const FORMATS = ["matrix", "table", "json"];

export function simulateCommand(context: Context): Command {
  const command = newCommand(
    "simulate",
    "Say which packets policy lets through, before there is a packet.\n\n" +
      "Takes resources from files alone, without a datastore: projectcalico.org/v3, v1, and Kubernetes' pods, namespaces, " +
      "nodes, service accounts, services and policies; whatever makes pods counts as one pod. Without -f it is the live state. " +
      "Asks about the packets of --probes, or else about all endpoints on the ports they declare.\n\n" +
      "With --diff the files are a change, and the answer is which flows open and which close when it is applied: on every " +
      "protocol and port that any rule tells apart, declared or not, between all endpoints and the world outside.",
  )
    .argument("[file...]", "more files and folders")
    .addOption(filename())
    .option(
      "--probes <file>",
      "a list of {from, to, port, protocol}; with expect: allow or deny each is a test",
    )
    .addOption(
      output("", "matrix, table or json (default: table with --probes or --diff, else matrix)")
        .default(undefined)
        .choices(FORMATS),
    )
    .option("--all-ports", "ask about every port and protocol, declared or not")
    .option("--staged", "as if all staged policies were enforced")
    .option("--diff", "compare the live state with what it would be after applying the files")
    .option("--delete", "with --diff: after deleting what the files name")
    .option("--fail-on-close", "with --diff: exit with 3 if a flow closes")
    .addOption(config())
    .action(async (more: string[], given: Options) => {
      const files = [...(given.filename ?? []), ...more];
      const options = files.length > 0 ? { ...given, filename: files } : given;
      refuseMixes(options);
      if (options.diff) await (await import("./diff.ts")).diff(context, options);
      else await (await import("./simulate.ts")).simulate(context, options);
    });
  return examples(command, [
    ["Who reaches whom.", "calctl simulate -f manifests/"],
    ["Ask, and be told which rule decides.", "calctl simulate -f manifests/ --probes probes.yml"],
    ["For scripts.", "kubectl get pods,ns,networkpolicies -A -o json | calctl simulate -f - -o json"],
    ["What a change would do to this cluster.", "calctl simulate --diff -f change.yml"],
    ["A pipeline that must not cut anybody off.", "calctl simulate --diff -f change.yml --fail-on-close"],
    ["What enforcing the staged policies would do.", "calctl simulate --diff --staged"],
  ]);
}

/** Options that mean nothing together. @throws CommandError USAGE */
function refuseMixes({ diff, probes, output: format, allPorts, delete: remove, failOnClose }: Options): void {
  const refuse = (message: string): never => {
    throw new CommandError("USAGE", message);
  };
  if (diff && probes !== undefined) refuse("--diff compares everything; it takes no --probes");
  if (diff && allPorts) refuse("--diff always compares all ports; leave --all-ports out");
  if (diff && format === "matrix") refuse("--diff prints a table or json");
  if (!diff && remove) refuse("--delete says what --diff compares with; add --diff");
  if (!diff && failOnClose) refuse("--fail-on-close is about --diff; add --diff");
}
