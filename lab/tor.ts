/**
 * The rack switch of a lab with `--topology tor`: a BGP router in the fabric's namespace that hosts peer with by eBGP, and
 * that forwards between them. What a real fabric would be to Calyx, as small as it gets.
 *
 *   node lab/tor.ts AS ADDRESS[,ADDRESS] HOST-ADDRESS=AS...
 */

import process from "node:process";
import { acceptAll, Speaker } from "node-bgp";
import { forwardingRoute } from "../bgp/forwarding.ts";
import { Kernel } from "../bgp/kernel.ts";
import { NORMAL_PRIORITY } from "../bgp/priority.ts";
import { systemClock } from "../daemon/clock.ts";
import { createLogger } from "../daemon/log.ts";
import { runDaemon } from "../daemon/main.ts";
import { EventSubscription } from "../linux/events.ts";
import { Rtnetlink } from "../linux/rtnetlink.ts";
import type { Cidr } from "../net/cidr.ts";

const [asn = "", addresses = "", ...hosts] = process.argv.slice(2);
const [address = "", address6] = addresses.split(",");
const logger = createLogger("tor");

void runDaemon(logger, async signal => {
  const kernel = new Kernel({
    interfacePrefixes: [],
    logger,
    clock: systemClock,
    rtnetlink: Rtnetlink.open(),
    subscribe: options => EventSubscription.open(options),
  });
  kernel.start();
  const speaker = new Speaker({ asn: Number(asn), routerId: address });
  const none: ReadonlySet<never> = new Set();
  const view = {
    pools: [],
    normalPriority: () => NORMAL_PRIORITY,
    programmed: none,
    rejected: none,
    subnet: undefined,
    wireguardPeers: none,
  };
  speaker.onRoutes(changes => {
    kernel.setLearned(
      changes.map(({ prefix, best }) => [prefix as Cidr, best ? forwardingRoute(best, view) : undefined]),
    );
  });
  speaker.onNeighbor(({ address: host, state }) => logger.info({ host, state }, "neighbor"));
  await speaker.start();
  for (const host of hosts) {
    const [hostAddress = "", hostAs] = host.split("=");
    speaker.addNeighbor({
      address: hostAddress,
      asn: Number(hostAs),
      localAddress: hostAddress.includes(":") ? (address6 ?? "") : address,
      passive: true,
      nextHopMode: "self",
      importPolicy: acceptAll,
      exportPolicy: acceptAll,
    });
  }
  await new Promise(resolve => signal.addEventListener("abort", resolve));
  await speaker.stop();
  kernel.stop();
});
