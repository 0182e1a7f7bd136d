/**
 * `node test/bench/packet-rate.ts [POLICIES...]`: packets per second from one workload to another through this host,
 * with 1, 100 and 1,000 policies in the way, and without any rule: the floor, of which each result is a part.
 *
 * UDP frames go out of one workload's interface by a packet socket, one system call each, which the kernel carries all
 * the way to the other's within the call; so the time of the calls is the time of the path. `new`: every packet is the first
 * of its flow and is judged by all policies, of which only the last one allows it. `established`: all packets are of one
 * flow that has been answered.
 *
 * Interleaved rounds, medians; in namespaces of its own.
 */

import { execFileSync, spawn, spawnSync } from "node:child_process";
import { closeSync, readFileSync } from "node:fs";
import { key } from "../../datastore/key.ts";
import type { Update } from "../../datastore/reflector.ts";
import { resolveConfig } from "../../felix/calc/config.ts";
import { CalcGraph } from "../../felix/calc/graph.ts";
import { createIptablesFilter } from "../../felix/dataplane/iptables/iptables-filter.ts";
import { createNftablesFilter, removeNftables } from "../../felix/dataplane/nftables/nftables-filter.ts";
import type { PacketFilter } from "../../felix/dataplane/packet-filter.ts";
import { Conntrack } from "../../linux/conntrack.ts";
import { bind, SocketType, send, socket } from "../../linux/libc.ts";
import { createNamespace, deleteNamespace, inNamespace } from "../../linux/namespace.ts";
import { Rtnetlink } from "../../linux/rtnetlink.ts";
import { hostCidr } from "../../net/cidr.ts";
import { ip } from "../../net/ip.ts";
import { mac } from "../../net/mac.ts";

const INSIDE = "CALYX_BENCH_NETNS";
const NODE = "bench";
const ROUNDS = 7;
/** Of one round, at most; all flows of a `new` round are in the connection table at once, which has room for 262,144. */
const MAX_PACKETS = 30_000;
const MIN_PACKETS = 2_000;
/** A round lasts about so long. */
const ROUND_SECONDS = 0.3;
const CLIENT = { address: ip("10.65.0.1"), mac: mac("02:00:00:00:00:01"), link: "calia" };
const SERVER = { address: ip("10.65.0.2"), mac: mac("02:00:00:00:00:02"), link: "calib" };
const GATEWAY = mac("ee:ee:ee:ee:ee:ee");
const PORT = 5000;

type Load = "new" | "established";
const LOADS: readonly Load[] = ["new", "established"];

// The packets

const AF_PACKET = 17;

/** A packet socket on the workload's only interface. */
function packetSocket(namespace: string): number {
  const fd = inNamespace(namespace, () => socket(AF_PACKET, SocketType.RAW, 0));
  using rtnetlink = Rtnetlink.open({ namespace });
  const address = new DataView(new ArrayBuffer(20)); // struct sockaddr_ll
  address.setUint16(0, AF_PACKET, true);
  address.setInt32(4, rtnetlink.getLink("eth0")!.index, true);
  bind(fd, new Uint8Array(address.buffer));
  return fd;
}

interface End {
  readonly address: string;
  readonly mac: string;
}

/** Ethernet, IPv4 and UDP with eight bytes of nothing. A UDP checksum of 0 is none. */
function frame(from: End, to: End, sourcePort: number, destinationPort: number): Uint8Array {
  const bytes = new Uint8Array(50);
  const view = new DataView(bytes.buffer);
  const macBytes = (text: string) => text.split(":").map(part => Number.parseInt(part, 16));
  const ipBytes = (text: string) => text.split(".").map(Number);
  bytes.set(macBytes(GATEWAY), 0);
  bytes.set(macBytes(from.mac), 6);
  view.setUint16(12, 0x0800);
  bytes.set([0x45, 0, 0, 36, 0, 0, 0x40, 0, 64, 17, 0, 0], 14);
  bytes.set(ipBytes(from.address), 26);
  bytes.set(ipBytes(to.address), 30);
  let sum = 0;
  for (let at = 14; at < 34; at += 2) sum += view.getUint16(at);
  view.setUint16(24, ~((sum & 0xffff) + (sum >> 16)));
  view.setUint16(34, sourcePort);
  view.setUint16(36, destinationPort);
  view.setUint16(38, 16);
  return bytes;
}

const FLOWS = Array.from({ length: MAX_PACKETS }, (_, i) => frame(CLIENT, SERVER, 10_000 + i, PORT));
const FLOW = frame(CLIENT, SERVER, 9_000, PORT);
const ANSWER = frame(SERVER, CLIENT, PORT, 9_000);

/** How many packets were put on the server's link. */
function delivered(): number {
  return Number(readFileSync(`/sys/class/net/${SERVER.link}/statistics/tx_packets`, "utf8"));
}

class Wire {
  readonly #client: number;
  readonly #server: number;
  readonly #conntrack = Conntrack.open();

  constructor(client: string, server: string) {
    this.#client = packetSocket(client);
    this.#server = packetSocket(server);
  }

  /** Packets per second. @throws where not all arrive */
  rate(load: Load, packets: number): number {
    this.#conntrack.deleteByAddresses([CLIENT.address]);
    if (load === "established") {
      send(this.#client, FLOW);
      send(this.#server, ANSWER);
    }
    const before = delivered();
    const begun = performance.now();
    for (let i = 0; i < packets; i++) send(this.#client, load === "new" ? FLOWS[i]! : FLOW);
    const seconds = (performance.now() - begun) / 1000;
    const arrived = delivered() - before;
    if (arrived < packets) throw new Error(`${load}: ${arrived} of ${packets} packets arrived`);
    return packets / seconds;
  }

  close(): void {
    closeSync(this.#client);
    closeSync(this.#server);
    this.#conntrack.close();
  }
}

// The rules

function put(kind: "WorkloadEndpoint" | "GlobalNetworkPolicy", name: string, rest: object): Update {
  const { labels, spec, namespace } = rest as { labels?: object; spec: object; namespace?: string };
  const metadata = { name, ...(namespace && { namespace }), ...(labels && { labels }) };
  const value = { apiVersion: "projectcalico.org/v3", kind, metadata, spec };
  return { type: "put", key: key(kind, name, namespace), value, revision: "1" } as unknown as Update;
}

function workload(name: string, end: typeof CLIENT, role: string): Update {
  return put("WorkloadEndpoint", `${NODE}-k8s-${name}-eth0`, {
    namespace: "default",
    labels: { role },
    spec: {
      node: NODE,
      orchestrator: "k8s",
      pod: name,
      endpoint: "eth0",
      interfaceName: end.link,
      ipNetworks: [hostCidr(end.address)],
    },
  });
}

/** On the server all policies, on the client one; of those on the server only the last allows the packets. */
function policies(count: number): Update[] {
  const out = put("GlobalNetworkPolicy", "out", {
    spec: { selector: "role == 'client'", types: ["Egress"], egress: [{ action: "Allow" }] },
  });
  const into = Array.from({ length: count }, (_, i) => {
    const destination = { ports: [i === count - 1 ? PORT : 20_000 + i] };
    const source = { selector: "role == 'client'" };
    const rule = { action: "Allow", protocol: "UDP", source, destination };
    const name = `in-${String(i).padStart(5, "0")}`;
    return put("GlobalNetworkPolicy", name, {
      spec: { selector: "role == 'server'", order: i, ingress: [rule] },
    });
  });
  return [out, ...into];
}

async function install(create: Create, count: number): Promise<PacketFilter> {
  const filter = await create();
  const graph = new CalcGraph({
    nodeName: NODE,
    onProblem: ({ message }) => {
      throw new Error(message);
    },
  });
  graph.apply([workload("a", CLIENT, "client"), workload("b", SERVER, "server"), ...policies(count)]);
  filter.update(graph.drain());
  await filter.commit();
  return filter;
}

type Create = () => Promise<PacketFilter>;
const config = (values: Record<string, unknown>) => resolveConfig([{ source: "bench", values }]).config;

const DATAPLANES: Readonly<Record<string, Create>> = {
  "iptables-nft": () => createIptablesFilter(config({ iptablesBackend: "NFT" })),
  "iptables-legacy": () => createIptablesFilter(config({ iptablesBackend: "Legacy" })),
  nftables: async () => createNftablesFilter(config({})),
};

/** Everything of ours, so that the next one finds a bare host. */
function wipe(): void {
  for (const variant of ["nft", "legacy"]) {
    for (const program of ["iptables", "ip6tables"]) {
      for (const table of ["raw", "mangle", "nat", "filter"]) {
        for (const what of ["-F", "-X"]) execFileSync(`${program}-${variant}`, ["-t", table, what]);
      }
    }
  }
  removeNftables();
  // nf_tables lets go of sets a moment later.
  for (let i = 0; spawnSync("ipset", ["destroy"]).status !== 0; i++)
    if (i > 100) throw new Error("sets are left");
}

const median = (list: readonly number[]) => list.toSorted((a, b) => a - b)[list.length >> 1]!;

interface Result {
  dataplane: string;
  policies: number;
  load: Load;
  packetsPerSecond: number;
  ofFloor: number;
}

async function inside(counts: readonly number[], client: string, server: string): Promise<void> {
  const wire = new Wire(client, server);
  const rates = () => {
    const seen: Record<Load, number[]> = { new: [], established: [] };
    const packets = (load: Load) =>
      Math.min(MAX_PACKETS, Math.max(MIN_PACKETS, Math.round(wire.rate(load, MIN_PACKETS) * ROUND_SECONDS)));
    const sizes = { new: packets("new"), established: packets("established") };
    for (let round = 0; round < ROUNDS; round++)
      for (const load of LOADS) seen[load].push(wire.rate(load, sizes[load]));
    return { new: median(seen.new), established: median(seen.established) };
  };
  const results: Result[] = [];
  const print = (text: string) => process.stdout.write(`${text}\n`);
  const row = (cells: readonly string[]) =>
    print(cells.map((cell, i) => (i === 0 ? cell.padEnd(16) : cell.padStart(18))).join(""));
  row(["", "policies", "new/s", "established/s"]);
  const perSecond = (rate: number, floor: number) =>
    `${Math.round(rate / 1000)}k (${(rate / floor).toFixed(2)})`;
  rates(); // Warm.
  for (const [dataplane, create] of Object.entries(DATAPLANES)) {
    for (const count of counts) {
      wipe();
      const floor = rates();
      const filter = await install(create, count);
      const rate = rates();
      filter.close?.();
      const columns = LOADS.map(load => perSecond(rate[load], floor[load]));
      row([dataplane, String(count), ...columns]);
      for (const load of LOADS) {
        const [packetsPerSecond, ofFloor] = [rate[load], rate[load] / floor[load]];
        results.push({ dataplane, policies: count, load, packetsPerSecond, ofFloor });
      }
    }
  }
  wire.close();
  const rounded = (_: string, value: unknown) =>
    typeof value === "number" ? Math.round(value * 1000) / 1000 : value;
  print(JSON.stringify({ benchmark: "packet-rate", rounds: ROUNDS, results }, rounded));
}

/** The host and two workloads, without addresses in the workloads: what arrives there has arrived. */
function plug(host: string, namespace: string, { address, mac: linkAddress, link }: typeof CLIENT): void {
  createNamespace(namespace);
  const run = (where: string, words: string) =>
    execFileSync("ip", ["-n", where, ...words.split(" ")], { stdio: "inherit" });
  run(
    host,
    `link add ${link} address ${GATEWAY} type veth peer name eth0 address ${linkAddress} netns ${namespace}`,
  );
  run(host, `link set ${link} up`);
  run(namespace, "link set eth0 up");
  run(host, `route add ${address} dev ${link}`);
  run(host, `neigh add ${address} lladdr ${linkAddress} dev ${link}`);
}

/** Makes the namespaces, runs this file in the host's, and removes them again, whatever happens. */
async function outside(args: readonly string[]): Promise<number> {
  const [host = "", client = "", server = ""] = ["host", "a", "b"].map(part => `cx${process.pid}-${part}`);
  try {
    createNamespace(host);
    plug(host, client, CLIENT);
    plug(host, server, SERVER);
    const program = [process.execPath, ...process.execArgv, import.meta.filename, ...args];
    const child = spawn("ip", ["netns", "exec", host, ...program], {
      stdio: "inherit",
      env: { ...process.env, [INSIDE]: [host, client, server].join() },
    });
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => child.kill(signal));
    return await new Promise(resolve => child.on("close", code => resolve(code ?? 1)));
  } finally {
    for (const namespace of [host, client, server]) deleteNamespace(namespace);
  }
}

const args = process.argv.slice(2);
const own = process.env[INSIDE];
if (own === undefined) {
  process.exitCode = await outside(args);
} else {
  const [host, client = "", server = ""] = own.split(",");
  const actual = execFileSync("ip", ["netns", "identify", String(process.pid)], { encoding: "utf8" }).trim();
  if (actual !== host) throw new Error("not in the namespace of the benchmark: refusing to touch tables");
  execFileSync("sysctl", ["-q", "net.ipv4.ip_forward=1"]);
  await inside(args.length > 0 ? args.map(Number) : [1, 100, 1_000], client, server);
}
