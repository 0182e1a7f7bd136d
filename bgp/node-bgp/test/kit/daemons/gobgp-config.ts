/** gobgpd.toml (as JSON, which it reads as well) from neutral values. */

import { Family } from "../../../index.ts";
import { type DaemonNeighbor, type DaemonOptions, familiesOf } from "./daemon.ts";

/** `isDown`: neighbors wait to be enabled. */
export function gobgpConfig(
  options: DaemonOptions,
  localAddress: (neighbor: DaemonNeighbor) => string,
  isDown: boolean,
): string {
  const { asn, routerId, neighbors, clusterId } = options;
  return JSON.stringify(
    {
      global: { config: { as: asn, "router-id": routerId } },
      neighbors: neighbors.map(neighbor => ({
        config: {
          "neighbor-address": neighbor.address,
          "peer-as": neighbor.asn,
          "admin-down": isDown,
          ...(neighbor.localAsn === undefined ? {} : { "local-as": neighbor.localAsn }),
          ...(neighbor.password === undefined ? {} : { "auth-password": neighbor.password }),
        },
        transport: {
          config: { "local-address": localAddress(neighbor), "passive-mode": neighbor.passive ?? false },
        },
        timers: {
          config: {
            "hold-time": neighbor.holdTime ?? 90,
            "keepalive-interval": Math.max(1, Math.floor((neighbor.holdTime ?? 90) / 3)),
            "connect-retry": 1,
            "idle-hold-time-after-reset": 1,
          },
        },
        ...(neighbor.ttlSecurity ? { "ttl-security": { config: { enabled: true, "ttl-min": 255 } } } : {}),
        ...(neighbor.reflectorClient
          ? {
              "route-reflector": {
                config: {
                  "route-reflector-client": true,
                  "route-reflector-cluster-id": clusterId ?? routerId,
                },
              },
            }
          : {}),
        ...gracefulRestart(neighbor),
        "afi-safis": familiesOf(neighbor).map(family => channel(family, neighbor)),
      })),
    },
    undefined,
    2,
  );
}

function gracefulRestart({ gracefulRestart: seconds, longLived }: DaemonNeighbor): object {
  if (seconds === undefined) return {};
  const config = {
    enabled: true,
    "restart-time": seconds,
    "notification-enabled": true,
    "long-lived-enabled": longLived !== undefined,
  };
  return { "graceful-restart": { config } };
}

function channel(family: Family, neighbor: DaemonNeighbor): object {
  const { gracefulRestart, longLived, addPath, maxPrefixes } = neighbor;
  const name = family === Family.ipv4Unicast ? "ipv4-unicast" : "ipv6-unicast";
  return {
    config: { "afi-safi-name": name },
    ...(gracefulRestart === undefined ? {} : { "mp-graceful-restart": { config: { enabled: true } } }),
    ...(longLived === undefined
      ? {}
      : { "long-lived-graceful-restart": { config: { enabled: true, "restart-time": longLived } } }),
    ...(addPath === undefined
      ? {}
      : {
          "add-paths": {
            config: { receive: addPath !== "send", "send-max": addPath === "receive" ? 0 : 8 },
          },
        }),
    ...(maxPrefixes === undefined
      ? {}
      : { "prefix-limit": { config: { "max-prefixes": maxPrefixes, "shutdown-threshold-pct": 100 } } }),
  };
}
