/**
 * The route reflectors there may be on this machine: how each is configured for its clients, all passive, all route reflector clients of
 * one AS. A device runs in the foreground; what it says is kept for when it fails.
 */

import { accessSync, constants, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";
import { ASN, DEVICE_ADDRESS } from "./load.ts";

const REPOSITORY = join(import.meta.dirname, "../../..");

export interface DeviceJob {
  /** For its files. */
  readonly folder: string;
  readonly peers: readonly string[];
  readonly holdTime: number;
}

export interface Device {
  readonly name: string;
  /** The program, or undefined where it is not installed. */
  readonly program: string | undefined;
  /** Writes what it needs. @returns the command line */
  prepare(job: DeviceJob): readonly string[];
  /** Milliseconds between the last session and the first UPDATE that it needs to come to rest. */
  settleMs(clients: number): number;
  /** Cases it would need too long for. */
  readonly leavesOut?: readonly string[];
}

const SETTLE_MS = 1000;

const ours: Device = {
  name: "calyx",
  program: join(REPOSITORY, "bin/bgp"),
  prepare({ folder, peers, holdTime }) {
    const configuration = {
      as: ASN,
      routerId: DEVICE_ADDRESS,
      listen: DEVICE_ADDRESS,
      holdTime,
      passive: true,
      statusSocket: false,
      groups: { clients: { as: ASN, rrClient: true } },
      peers: peers.map(address => ({ address, group: "clients" })),
    };
    writeFileSync(join(folder, "bgp.json"), JSON.stringify(configuration));
    return [this.program!, "--config", join(folder, "bgp.json")];
  },
  settleMs: () => SETTLE_MS,
};

const bird: Device = {
  name: "bird",
  program: find("bird"),
  prepare({ folder, peers, holdTime }) {
    const clients = peers.map(
      (address, i) => `protocol bgp c${i} from reflected { neighbor ${address} as ${ASN}; }`,
    );
    const configuration = [
      `log "${folder}/bird.log" { warning, error, fatal, bug };`,
      `router id ${DEVICE_ADDRESS};`,
      "protocol device {}",
      "protocol direct { ipv4; }",
      "template bgp reflected {",
      `  local ${DEVICE_ADDRESS} as ${ASN};`,
      `  hold time ${holdTime};`,
      "  passive; rr client;",
      "  ipv4 { import all; export where source = RTS_BGP; };",
      "}",
      ...clients,
    ];
    writeFileSync(join(folder, "bird.conf"), `${configuration.join("\n")}\n`);
    return [this.program!, "-f", "-c", join(folder, "bird.conf"), "-s", join(folder, "bird.ctl")];
  },
  settleMs: () => SETTLE_MS,
};

const frr: Device = {
  name: "frr",
  program: find("/usr/lib/frr/bgpd"),
  prepare({ folder, peers, holdTime }) {
    const configuration = [
      `log file ${folder}/bgpd.log warnings`,
      `router bgp ${ASN}`,
      ` bgp router-id ${DEVICE_ADDRESS}`,
      " neighbor clients peer-group",
      ` neighbor clients remote-as ${ASN}`,
      " neighbor clients passive",
      ` neighbor clients timers ${Math.floor(holdTime / 3)} ${holdTime}`,
      ...peers.map(address => ` neighbor ${address} peer-group clients`),
      " address-family ipv4 unicast",
      "  neighbor clients activate",
      "  neighbor clients route-reflector-client",
      " exit-address-family",
    ];
    writeFileSync(join(folder, "bgpd.conf"), `${configuration.join("\n")}\n`);
    const files = ["-f", join(folder, "bgpd.conf"), "-i", join(folder, "bgpd.pid"), "--vty_socket", folder];
    // Without zebra (-Z) next hops are not looked up, and nothing goes into the kernel.
    return [this.program!, ...files, "-Z", "-S", "-P", "0", "-l", DEVICE_ADDRESS, "-u", "root", "-g", "root"];
  },
  // An update group waits up to 10 s after its first session (bgp_updgrp.h): that is not what is measured.
  settleMs: clients => Math.min(10_000, 1000 + 50 * clients) + SETTLE_MS,
};

const gobgp: Device = {
  name: "gobgpd",
  program: find("gobgpd"),
  prepare({ folder, peers, holdTime }) {
    const neighbor = (address: string) => ({
      config: { "neighbor-address": address, "peer-as": ASN },
      transport: { config: { "passive-mode": true } },
      timers: { config: { "hold-time": holdTime, "keepalive-interval": Math.floor(holdTime / 3) } },
      "route-reflector": {
        config: { "route-reflector-client": true, "route-reflector-cluster-id": DEVICE_ADDRESS },
      },
      "afi-safis": [{ config: { "afi-safi-name": "ipv4-unicast" } }],
    });
    const configuration = {
      global: { config: { as: ASN, "router-id": DEVICE_ADDRESS, "local-address-list": [DEVICE_ADDRESS] } },
      neighbors: peers.map(neighbor),
    };
    writeFileSync(join(folder, "gobgp.json"), JSON.stringify(configuration));
    return [this.program!, "-t", "json", "-f", join(folder, "gobgp.json"), "-l", "warn"];
  },
  settleMs: () => SETTLE_MS,
  leavesOut: ["clients-1000"],
};

const floor: Device = {
  name: "floor",
  program: process.execPath,
  prepare: ({ holdTime }) => [
    process.execPath,
    join(import.meta.dirname, "floor.ts"),
    DEVICE_ADDRESS,
    "179",
    String(ASN),
    String(holdTime),
  ],
  settleMs: () => SETTLE_MS,
};

export const DEVICES: readonly Device[] = [ours, bird, frr, gobgp, floor];

function find(program: string): string | undefined {
  const folders = program.startsWith("/")
    ? [""]
    : [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin"];
  for (const folder of folders) {
    const path = join(folder, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {} // Not here.
  }
  return undefined;
}
