import type { Command } from "commander";
import type { Capability, MessageCounters, NeighborError, NeighborTransition } from "node-bgp";
import type { NeighborAnswer } from "../../../bgp/queries.ts";
import type { Context } from "../../context.ts";
import { DaemonSocket, type SocketOptions, socket } from "../../daemon-socket.ts";
import { examples, newCommand, output } from "../../options.ts";
import { jsonText } from "../../output/json.ts";
import { yamlText } from "../../output/render.ts";
import { elapsed } from "./elapsed.ts";

interface Options extends SocketOptions {
  readonly output: string;
}

export function neighborCommand(context: Context): Command {
  const command = newCommand("neighbor", "Show all that is known of one neighbor.")
    .argument("<address>", "the neighbor's address")
    .addOption(output("table", "table, json or yaml").choices(["table", "json", "yaml"]))
    .addOption(socket("bgp"))
    .action(async (address: string, options: Options) => {
      const daemon = new DaemonSocket(context, "bgp", options);
      const neighbor = await daemon.ask<NeighborAnswer>(`/bgp/neighbors/${encodeURIComponent(address)}`);
      if (options.output === "json") context.stdout.write(jsonText(neighbor));
      else if (options.output === "yaml") context.stdout.write(await yamlText(neighbor));
      else context.stdout.write(neighborText(neighbor, context.clock.now()));
    });
  return examples(command, [
    ["One neighbor.", "calctl bgp neighbor 192.0.2.1"],
    ["A link-local one.", "calctl bgp neighbor fe80::1%eth0"],
  ]);
}

export function neighborText(neighbor: NeighborAnswer, now: number): string {
  const { bfd, lastError, lastSessionError, prefixes, problems, updateRate } = neighbor;
  const facts: [string, string | number | undefined][] = [
    ["Neighbor", neighbor.address],
    ["Name", neighbor.name ?? neighbor.description],
    ["AS", `${neighbor.asn} (${neighbor.type}, ours is ${neighbor.localAsn})`],
    [
      "State",
      `${neighbor.state} for ${elapsed(now - neighbor.since)}${neighbor.restarting ? ", restarting" : ""}`,
    ],
    ["Sessions", `${neighbor.established} so far, ${neighbor.flaps} of them lost`],
    ["Session ended", lastSessionError && errorText(lastSessionError, now)],
    [
      "Last error",
      lastError === undefined || lastError.at === lastSessionError?.at
        ? undefined
        : errorText(lastError, now),
    ],
    ["BFD", bfd && bfdText(bfd)],
    ["Router id", neighbor.remoteRouterId],
    ["Local address", neighbor.localAddress],
    ["Hold time", neighbor.holdTime === undefined ? undefined : `${neighbor.holdTime} s`],
    ["Families", neighbor.families.join(", ")],
    [
      "Prefixes",
      `${prefixes.received} received, ${prefixes.stale} of them stale; ${prefixes.advertised} advertised`,
    ],
    [
      "No policy for",
      neighbor.policyMissing.map(direction => `${direction} (RFC 8212: nothing passes)`).join(", "),
    ],
    ["Malformed", problemText(problems)],
    ["Update rate", `${updateRate.received}/s received, ${updateRate.sent}/s sent`],
    ["Send queue", neighbor.sendQueue === 0 ? undefined : `${neighbor.sendQueue} bytes`],
    ["History", neighbor.history.map(transition => historyText(transition, now)).join("\n")],
    ["Sent", counters(neighbor.sent)],
    ["Received", counters(neighbor.received)],
    ["Capabilities", neighbor.remoteCapabilities?.map(capabilityText).join("\n")],
  ];
  const shown = facts.filter(([, value]) => value !== undefined && value !== "");
  const width = Math.max(...shown.map(([name]) => name.length)) + 2;
  return shown
    .map(
      ([name, value]) =>
        `${`${name}:`.padEnd(width)}${String(value).replaceAll("\n", `\n${" ".repeat(width)}`)}\n`,
    )
    .join("");
}

function errorText({ text, at, reason }: NeighborError, now: number): string {
  return `${text}, ${elapsed(now - at)} ago (${reason})`;
}

function bfdText({ state, detectionTime, roundTrip }: NonNullable<NeighborAnswer["bfd"]>): string {
  const trip = roundTrip === undefined ? "" : `, round trip ${roundTrip.smoothed.toFixed(2)} ms`;
  return `${state}, detection time ${detectionTime} ms${trip}`;
}

function problemText({ withdraw, discard, disableFamily }: NeighborAnswer["problems"]): string | undefined {
  if (withdraw + discard + disableFamily === 0) return undefined;
  return `${withdraw} treated as withdraw, ${discard} attributes discarded, ${disableFamily} families disabled (RFC 7606)`;
}

function historyText({ from, to, last, times, reason }: NeighborTransition, now: number): string {
  const repeated = times > 1 ? ` (${times} times)` : "";
  return `${elapsed(now - last)} ago: ${from} -> ${to}${repeated}${reason === undefined ? "" : `: ${reason}`}`;
}

function counters({ open, update, notification, keepalive, routeRefresh }: MessageCounters): string {
  return `${open} open, ${update} update, ${notification} notification, ${keepalive} keepalive, ${routeRefresh} route-refresh`;
}

/** One line for people; `-o json` has the values. */
export function capabilityText(capability: Capability): string {
  switch (capability.kind) {
    case "multiprotocol":
      return `multiprotocol: ${familyText(capability)}`;
    case "four-octet-as":
      return `four-octet-as: ${capability.asn}`;
    case "graceful-restart": {
      const { restartTime, restarting, notification, families } = capability;
      const parts = [
        `${restartTime} s`,
        ...(restarting ? ["is restarting"] : []),
        ...(notification ? ["also on NOTIFICATION"] : []),
        ...families.map(each => familyText(each) + (each.forwardingPreserved ? " forwarding kept" : "")),
      ];
      return `graceful-restart: ${parts.join(", ")}`;
    }
    case "long-lived-graceful-restart":
      return `long-lived-graceful-restart: ${capability.families
        .map(
          each =>
            `${familyText(each)} ${each.staleTime} s${each.forwardingPreserved ? ", forwarding kept" : ""}`,
        )
        .join("; ")}`;
    case "add-path":
      return `add-path: ${capability.families
        .map(
          each =>
            `${familyText(each)} ${[each.send && "sends", each.receive && "receives"].filter(Boolean).join(" and ")}`,
        )
        .join("; ")}`;
    case "extended-next-hop":
      return `extended-next-hop: ${capability.families
        .map(each => `${familyText(each)} over ${each.nextHopAfi === 2 ? "IPv6" : `AFI ${each.nextHopAfi}`}`)
        .join("; ")}`;
    case "unknown":
      return `code ${capability.code}${capability.value === "" ? "" : `: ${capability.value}`}`;
    default:
      return capability.kind;
  }
}

function familyText({ afi, safi }: { readonly afi: number; readonly safi: number }): string {
  if (safi === 1 && (afi === 1 || afi === 2)) return afi === 1 ? "ipv4-unicast" : "ipv6-unicast";
  return `AFI ${afi} SAFI ${safi}`;
}
