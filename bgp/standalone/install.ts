/**
 * The speaker's best paths as routes of the kernel, by the same driver the datastore mode uses (../kernel.ts). Loaded only where
 * configured: a reflector that installs nothing needs neither root nor netlink.
 *
 * Routes of an earlier run are kept until the neighbors have told all they have, or a restart time has passed.
 */

import type { Route, Speaker } from "node-bgp";
import type { Clock } from "../../daemon/clock.ts";
import type { Logger } from "../../daemon/log.ts";
import { EventSubscription } from "../../linux/events.ts";
import { Rtnetlink } from "../../linux/rtnetlink.ts";
import type { Cidr } from "../../net/cidr.ts";
import type { Ip } from "../../net/ip.ts";
import type { ForwardingRoute } from "../forwarding.ts";
import { Kernel } from "../kernel.ts";
import type { RouteInstaller } from "./daemon.ts";

/** How long routes of an earlier run outlive neighbors that are not there: the usual restart time. */
const STALE_MS = 120_000;
const CHECK_MS = 1000;

export function kernelInstaller(options: {
  readonly metric: number;
  readonly table?: number | undefined;
  readonly logger: Logger;
  readonly clock: Clock;
}): RouteInstaller {
  const { metric, table, logger, clock } = options;
  const kernel = new Kernel({
    interfacePrefixes: [],
    ...(table !== undefined && { table }),
    logger,
    clock,
    rtnetlink: Rtnetlink.open(),
    subscribe: EventSubscription.open,
  });
  kernel.start();
  const stopped = new AbortController();
  let unfollow = () => {};

  async function sweepWhenComplete(speaker: Speaker): Promise<void> {
    await speaker.ready;
    const deadline = clock.now() + STALE_MS;
    while (clock.now() < deadline && !speaker.neighbors().every(neighbor => neighbor.synchronized)) {
      await clock.sleep(CHECK_MS, stopped.signal).catch(() => {});
      if (stopped.signal.aborted) return;
    }
    kernel.sweep();
  }

  return {
    get hasRoutes() {
      return kernel.hasRoutes;
    },
    get routeCount() {
      return kernel.routeCount;
    },
    follow(speaker) {
      unfollow();
      kernel.replaceLearned(new Map(forwardings(speaker.routes(), metric)));
      unfollow = speaker.onRoutes(changes =>
        kernel.setLearned(
          changes.map(({ prefix, best }) => [prefix as Cidr, best ? forwarding(best, metric) : undefined]),
        ),
      );
      void sweepWhenComplete(speaker);
    },
    stop({ keep }) {
      stopped.abort();
      unfollow();
      if (!keep) {
        kernel.replaceLearned(new Map());
        kernel.sweep();
        kernel.flush();
      }
      kernel.stop();
    },
  };
}

function* forwardings(
  routes: Iterable<Route>,
  metric: number,
): Generator<[Cidr, ForwardingRoute | undefined]> {
  for (const route of routes) yield [route.prefix as Cidr, forwarding(route, metric)];
}

/** Undefined where there is nothing to install: our own routes. */
function forwarding(route: Route, metric: number): ForwardingRoute | undefined {
  if (route.source === "local" || route.nextHops.length === 0) return undefined;
  return { prefix: route.prefix as Cidr, metric, nextHops: route.nextHops as Ip[] };
}
