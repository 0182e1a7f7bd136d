/**
 * A speaker as a process of its own, for tests that need it in another network namespace: options as JSON in the first
 * argument, commands as lines of JSON on stdin, events as lines of JSON on stdout.
 */

import { createInterface } from "node:readline";
import {
  acceptAll,
  type LocalRoute,
  type NeighborOptions,
  Speaker,
  type SpeakerOptions,
} from "../../index.ts";

export interface SpeakerSetup {
  readonly speaker: SpeakerOptions;
  readonly neighbors: readonly NeighborOptions[];
  readonly routes: readonly LocalRoute[];
  /** Do not tell of routes. */
  readonly quiet?: boolean;
}

export type SpeakerCommand =
  | { readonly do: "announce"; readonly route: LocalRoute }
  | { readonly do: "withdraw"; readonly prefix: string }
  | { readonly do: "update"; readonly neighbor: NeighborOptions }
  | { readonly do: "stop"; readonly graceful: boolean };

/** Policies do not travel as JSON. */
const open = { importPolicy: acceptAll, exportPolicy: acceptAll };
const setup: SpeakerSetup = JSON.parse(process.argv[2]!);
const tell = (event: object) => process.stdout.write(`${JSON.stringify(event)}\n`);

const speaker = new Speaker(setup.speaker);
speaker.onNeighbor(event => tell({ event: "neighbor", ...event }));
if (!setup.quiet) speaker.onRoutes(changes => tell({ event: "routes", changes }));
speaker.onWarning(warning => tell({ event: "warning", ...warning }));
for (const neighbor of setup.neighbors) speaker.addNeighbor({ ...open, ...neighbor });
for (const route of setup.routes) speaker.announce(route);
await speaker.start();
void speaker.ready.then(() => tell({ event: "ready" }));

for await (const line of createInterface({ input: process.stdin })) {
  const command: SpeakerCommand = JSON.parse(line);
  if (command.do === "announce") speaker.announce(command.route);
  else if (command.do === "withdraw") speaker.withdraw(command.prefix);
  else if (command.do === "update") speaker.updateNeighbor({ ...open, ...command.neighbor });
  else {
    await speaker.stop({ graceful: command.graceful });
    process.stdin.destroy();
    break;
  }
}
