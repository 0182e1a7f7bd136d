import type { Command } from "commander";
import type { NeighborAnswer } from "../../../bgp/queries.ts";
import type { Context } from "../../context.ts";
import { DaemonSocket, type SocketOptions, socket } from "../../daemon-socket.ts";
import { examples, newCommand, output } from "../../options.ts";
import { jsonText } from "../../output/json.ts";
import { yamlText } from "../../output/render.ts";
import { table } from "../../output/table.ts";
import { elapsed } from "./elapsed.ts";

export const FORMATS = ["table", "wide", "json", "yaml"];

interface Options extends SocketOptions {
  readonly output: string;
}

export function peersCommand(context: Context): Command {
  const command = newCommand("peers", "Show the neighbors: their state, since when, how many prefixes.")
    .addOption(output("table", "table, wide, json or yaml").choices(FORMATS))
    .addOption(socket("bgp"))
    .action(async (options: Options) => {
      const daemon = new DaemonSocket(context, "bgp", options);
      const neighbors = await daemon.ask<NeighborAnswer[]>("/bgp/neighbors");
      if (options.output === "json") context.stdout.write(jsonText(neighbors));
      else if (options.output === "yaml") context.stdout.write(await yamlText(neighbors));
      else context.stdout.write(peersTable(neighbors, options.output === "wide", context.clock.now()));
    });
  return examples(command, [
    ["All neighbors.", "calctl bgp peers"],
    ["With why the last session ended, and counters.", "calctl bgp peers -o wide"],
  ]);
}

type Column = readonly [heading: string, value: (neighbor: NeighborAnswer, now: number) => string | number];

const COLUMNS: readonly Column[] = [
  ["NEIGHBOR", ({ address }) => address],
  ["AS", ({ asn }) => asn],
  ["NAME", ({ name, description }) => name ?? description ?? ""],
  ["STATE", ({ state, restarting }) => (restarting ? `${state} (restarting)` : state)],
  ["SINCE", ({ since }, now) => elapsed(now - since)],
  ["RECEIVED", ({ prefixes }) => prefixes.received],
  ["ADVERTISED", ({ prefixes }) => prefixes.advertised],
];

const WIDE: readonly Column[] = [
  ["ROUTER ID", ({ remoteRouterId }) => remoteRouterId ?? ""],
  ["HOLD", ({ holdTime }) => holdTime ?? ""],
  ["FLAPS", ({ flaps }) => flaps],
  ["BFD", ({ bfd }) => bfd?.state ?? ""],
  ["STALE", ({ prefixes }) => prefixes.stale],
  ["UPDATES IN", ({ received }) => received.update],
  ["UPDATES OUT", ({ sent }) => sent.update],
  ["QUEUE", ({ sendQueue }) => sendQueue],
  ["LAST ERROR", ({ lastSessionError, lastError }) => (lastSessionError ?? lastError)?.text ?? ""],
];

export function peersTable(neighbors: readonly NeighborAnswer[], wide: boolean, now: number): string {
  const columns = wide ? [...COLUMNS, ...WIDE] : COLUMNS;
  return table(
    columns.map(([heading]) => heading),
    neighbors.map(neighbor => columns.map(([, value]) => String(value(neighbor, now)))),
  );
}
