import { type Command, Option } from "commander";
import type { Context } from "../../context.ts";
import { examples, type FileOptions, filename, newCommand, output } from "../../options.ts";

interface Options extends FileOptions {
  readonly probes?: string;
  readonly output?: string;
  readonly allPorts?: true;
}

const FORMATS = ["matrix", "table", "json"];

export function simulateCommand(context: Context): Command {
  const command = newCommand(
    "simulate",
    "Say which packets policy lets through, before there is a packet.\n\n" +
      "Takes resources from files alone: projectcalico.org/v3, v1, and Kubernetes' pods, namespaces, nodes, service " +
      "accounts, services, policies, and whatever makes pods (a Deployment counts as one pod). No datastore, no cluster, " +
      "no kernel. Asks about the packets of --probes, or else about all endpoints on the ports they declare.",
  )
    .addOption(filename().makeOptionMandatory())
    .option(
      "--probes <file>",
      "a list of {from, to, port, protocol}; with expect: allow or deny each is a test",
    )
    .addOption(
      output("", "matrix, table or json (default: table with --probes, else matrix)")
        .default(undefined)
        .choices(FORMATS),
    )
    .addOption(new Option("--all-ports", "ask about every port and protocol, declared or not"))
    .action(async (options: Options) => {
      const { simulate } = await import("./simulate.ts");
      await simulate(context, options);
    });
  return examples(command, [
    ["Who reaches whom.", "calctl simulate -f manifests/"],
    ["Ask, and be told which rule decides.", "calctl simulate -f manifests/ --probes probes.yml"],
    ["For scripts.", "kubectl get pods,ns,networkpolicies -A -o json | calctl simulate -f - -o json"],
  ]);
}
