/** `bgp`: the BGP daemon as a process. Each mode is loaded only when it is the one that runs: a reflector needs no datastore. */

import process from "node:process";
import { Command } from "commander";

const program = new Command("bgp")
  .description(
    `The BGP daemon of Calyx.

Without --config it is a node of the cluster: it reads its peers from the datastore that the environment names
(DATASTORE_TYPE, ETCD_ENDPOINTS and so on) and keeps this host's routes.

With --config it is a speaker of its own, such as a route reflector, and does what the file says. SIGHUP reads
the file again; only sessions whose own settings changed are reset.`,
  )
  .option("--config <file>", "run what this YAML or JSON file says, without a datastore")
  .option("--check", "say what is wrong with the file, and end")
  .option("--schema", "print the JSON Schema of the file, and end")
  .addHelpText(
    "after",
    `
A route reflector with one client:
  as: 64512
  routerId: 192.0.2.1
  peers:
    - address: 192.0.2.2
      as: 64512
      rrClient: true

All fields: docs/bgp-standalone.md`,
  )
  .showHelpAfterError("(see bgp --help)")
  .parse();

const { config, check, schema } = program.opts<{ config?: string; check?: true; schema?: true }>();

async function run(): Promise<void> {
  if (schema) {
    const { SCHEMA } = await import("./standalone/schema.ts");
    process.stdout.write(`${JSON.stringify(SCHEMA, null, 2)}\n`);
  } else if (config === undefined) {
    if (check) program.error("error: --check needs --config FILE");
    const { runDatastoreMode } = await import("./datastore-mode.ts");
    runDatastoreMode();
  } else {
    const { checkFile, runStandalone } = await import("./standalone/run.ts");
    await (check ? checkFile(config) : runStandalone(config));
  }
}

void run();
