/**
 * `calctl node status`, as calicoctl prints it (calico.md 6.4, appendix F). Asked over BIRD's text protocol, as calicoctl does: our daemon
 * answers it, and so does a real BIRD, so that it tells the truth on a node of either kind.
 */

import { join } from "node:path";
import { type Command, Option } from "commander";
import type { Context } from "../../context.ts";
import { CommandError } from "../../errors.ts";
import { examples, newCommand, output } from "../../options.ts";
import { jsonText } from "../../output/json.ts";
import { yamlText } from "../../output/render.ts";
import { borderedTable } from "../../output/table.ts";
import { askBird, type BirdProtocol } from "./bird-client.ts";

export interface PeerRow {
  readonly peerAddress: string;
  readonly peerType: string;
  readonly state: string;
  readonly since: string;
  readonly info: string;
}

interface Options {
  readonly output: string;
  readonly birdSocket: string;
}

export function statusCommand(context: Context): Command {
  const command = newCommand("status", "Show whether this node runs, and the state of its BGP peers.")
    .addOption(output("table", "table, json or yaml").choices(["table", "json", "yaml"]))
    .addOption(
      new Option("--bird-socket <folder>", "where bird.ctl and bird6.ctl are").default(
        context.env["CALYX_BIRD_DIR"] || "/var/run/calico",
      ),
    )
    .action((options: Options) => status(context, options));
  return examples(command, [["This host.", "sudo calctl node status"]]);
}

async function status(context: Context, { output, birdSocket }: Options): Promise<void> {
  const [ipv4, ipv6] = await Promise.all([
    askBird(join(birdSocket, "bird.ctl")).then(protocols => protocols && peerRows(protocols, 4)),
    askBird(join(birdSocket, "bird6.ctl")).then(protocols => protocols && peerRows(protocols, 6)),
  ]);
  const isRunning = ipv4 !== undefined || ipv6 !== undefined;
  const answer = { running: isRunning, ipv4: ipv4 ?? [], ipv6: ipv6 ?? [] };
  if (output === "json") context.stdout.write(jsonText(answer));
  else if (output === "yaml") context.stdout.write(await yamlText(answer));
  else if (isRunning) {
    const parts = [
      ["IPv4", ipv4],
      ["IPv6", ipv6],
    ] as const;
    context.stdout.write(
      `Calico process is running.\n${parts.map(([name, rows]) => part(name, rows)).join("")}\n`,
    );
  }
  if (!isRunning)
    throw new CommandError(
      "FAILED",
      `Calico process is not running: nothing answers at ${birdSocket}/bird.ctl`,
    );
}

function part(name: string, rows: readonly PeerRow[] | undefined): string {
  const heading = `\n${name} BGP status\n`;
  if (rows === undefined) return `${heading}no answer from bird\n`;
  if (rows.length === 0) return `${heading}No ${name} peers found.\n`;
  return (
    heading +
    borderedTable(
      ["PEER ADDRESS", "PEER TYPE", "STATE", "SINCE", "INFO"],
      rows.map(({ peerAddress, peerType, state, since, info }) => [
        peerAddress,
        peerType,
        state,
        since,
        info,
      ]),
    )
  );
}

const TYPES: Readonly<Record<string, string>> = {
  Mesh: "node-to-node mesh",
  Node: "node specific",
  Global: "global",
};

/** The names say what the peers are: `Mesh_10_0_0_2`, `Node_fd00__2`; others are not Calico's. */
export function peerRows(protocols: readonly BirdProtocol[], ipVersion: 4 | 6): PeerRow[] {
  return protocols.flatMap(({ name, proto, state, since, info }) => {
    const [, type = "", address = ""] = /^(Global|Node|Mesh)_(.+)$/.exec(name) ?? [];
    if (type === "" || proto !== "BGP" || info === "") return [];
    const peerAddress = address.replaceAll("_", ipVersion === 4 ? "." : ":");
    return [{ peerAddress, peerType: TYPES[type]!, state, since, info }];
  });
}
