/** `calctl node`: what is done on a host about the host. */

import { Command } from "commander";
import { systemClock } from "../daemon/clock.ts";
import { createLogger } from "../daemon/log.ts";
import { connect, datastoreConfig } from "../datastore/config.ts";
import { Rtnetlink } from "../linux/rtnetlink.ts";
import { hostInterfaces, sourceTowards } from "./interfaces.ts";
import { startNode } from "./startup.ts";

export interface NodeCommandContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdout: { write(text: string): unknown };
}

export function nodeCommand(context: NodeCommandContext): Command {
  const node = new Command("node").description("make this host a node of the cluster");
  node
    .command("register")
    .description("write this host's Node resource, and what the first node of a cluster finds missing")
    .addHelpText(
      "after",
      `
To be run before felix and bgp, and again when the host's address changes. Read from the environment, as calico/node does:
  NODENAME, IP, IP6 (address, autodetect or none), IP_AUTODETECTION_METHOD, AS, NO_DEFAULT_POOLS,
  CALICO_IPV4POOL_CIDR, CALICO_IPV4POOL_BLOCK_SIZE, CALICO_IPV4POOL_NAT_OUTGOING, ...

Example:
  IP_AUTODETECTION_METHOD=interface=eth1 calctl node register`,
    )
    .action(async () => {
      const { env } = context;
      const datastore = await connect(datastoreConfig({ env }), { clock: systemClock });
      using kernel = Rtnetlink.open();
      try {
        const started = await startNode({
          datastore,
          env,
          interfaces: () => hostInterfaces(kernel),
          reach: sourceTowards,
          logger: createLogger("node", env["CALICO_STARTUP_LOGLEVEL"] ?? "warning"),
        });
        const { ipv4Address, ipv6Address, asNumber } = started.node.spec.bgp ?? {};
        const facts = [ipv4Address, ipv6Address, asNumber && `AS ${asNumber}`].filter(Boolean);
        context.stdout.write(
          `Node ${started.nodeName} is registered${facts.length > 0 ? `: ${facts.join(", ")}` : ""}\n`,
        );
      } finally {
        await datastore.close();
      }
    });
  return node;
}
