/**
 * `node test/bench/routes.ts [COUNT…]`: how fast /32 routes get into the kernel, out of it and away, by linux/rtnetlink
 * and by `ip -batch` / `ip route show` / `ip -j route show`, in the same run, in a network namespace of its own.
 *
 * Every number is the median of several rounds; each round does all of one tool's work and then all of the other's,
 * so that a slow moment of the machine hits both. `ip`'s times contain starting the process once and reading its
 * input from a file on /tmp, as anyone who uses it that way has to; its output goes into memory unparsed.
 */

import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { createNamespace, deleteNamespace, inNamespace } from "../../linux/namespace.ts";
import { type Route, Rtnetlink } from "../../linux/rtnetlink.ts";
import { cidr, hostCidr, nthAddress } from "../../net/cidr.ts";
import { ip } from "../../net/ip.ts";

const ROUNDS = 5;
const PROTOCOL = 80;
const BLOCK = cidr("10.128.0.0/9");

type Step = "add" | "dump" | "dump -j" | "delete";
type Times = Partial<Record<Step, number[]>>;

function timed(times: Times, step: Step, work: () => void): void {
  const start = performance.now();
  work();
  const list = times[step] ?? [];
  times[step] = [...list, performance.now() - start];
}

const median = (list: readonly number[]) => [...list].sort((a, b) => a - b)[list.length >> 1]!;

function measure(namespace: string, count: number): { calyx: Times; ip: Times } {
  using netlink = Rtnetlink.open({ namespace });
  const interfaceIndex = netlink.getLink("v0")!.index;
  const routes = Array.from({ length: count }, (_, i): Route => {
    return {
      destination: hostCidr(nthAddress(BLOCK, i)),
      protocol: PROTOCOL,
      type: "unicast",
      interfaceIndex,
    };
  });
  const batch = (verb: string) => {
    const path = `/tmp/calyx-bench-${process.pid}-${verb}`;
    const lines = routes.map(route => `route ${verb} ${route.destination} dev v0 proto ${PROTOCOL}\n`);
    writeFileSync(path, lines.join(""));
    return path;
  };
  const [add, del] = [batch("replace"), batch("del")];
  const run = (...args: string[]) =>
    inNamespace(namespace, () =>
      execFileSync("ip", args, { maxBuffer: 1 << 30, stdio: ["ignore", "pipe", "inherit"] }),
    );
  const expect = (what: string, actual: number, wanted: number) => {
    if (actual !== wanted) throw new Error(`${what}: ${actual} instead of ${wanted}`);
  };

  const calyx: Times = {};
  const byIp: Times = {};
  try {
    for (let round = 0; round < ROUNDS; round++) {
      timed(calyx, "add", () => expect("refused", netlink.replaceRoutes(routes).length, 0));
      timed(calyx, "dump", () => expect("dumped", netlink.listRoutes({ protocol: PROTOCOL }).length, count));
      timed(calyx, "delete", () => expect("not deleted", netlink.deleteRoutes(routes).length, 0));
      expect("left", netlink.listRoutes({ protocol: PROTOCOL }).length, 0);

      timed(byIp, "add", () => run("-batch", add));
      timed(byIp, "dump", () => run("route", "show", "proto", String(PROTOCOL)));
      timed(byIp, "dump -j", () => run("-j", "route", "show", "proto", String(PROTOCOL)));
      timed(byIp, "delete", () => run("-batch", del));
      expect("left by ip", netlink.listRoutes({ protocol: PROTOCOL }).length, 0);
    }
  } finally {
    rmSync(add, { force: true });
    rmSync(del, { force: true });
  }
  return { calyx, ip: byIp };
}

function report(count: number, { calyx, ip }: { calyx: Times; ip: Times }): string {
  const cell = (text: string | number, width: number) => String(text).padStart(width);
  const lines = [
    `${count} routes, median of ${ROUNDS}`,
    `${"".padEnd(8)}${cell("calyx ms", 10)}${cell("routes/s", 12)}${cell("ip ms", 10)}${cell("ip -j ms", 10)}${cell("ip / calyx", 12)}`,
  ];
  const numbers: Record<string, number> = {};
  for (const step of ["add", "dump", "delete"] as const) {
    const [ours, theirs] = [median(calyx[step]!), median(ip[step]!)];
    const json = step === "dump" ? median(ip["dump -j"]!).toFixed(1) : "";
    lines.push(
      `${step.padEnd(8)}${cell(ours.toFixed(1), 10)}${cell(Math.round((count / ours) * 1000), 12)}${cell(theirs.toFixed(1), 10)}${cell(json, 10)}${cell((theirs / ours).toFixed(1), 12)}`,
    );
    numbers[`${step}_ms`] = Math.round(ours * 10) / 10;
    numbers[`ip_${step}_ms`] = Math.round(theirs * 10) / 10;
  }
  return `${lines.join("\n")}\n${JSON.stringify({ benchmark: "routes", count, ...numbers })}\n`;
}

const counts = process.argv.slice(2).map(Number);
const namespace = `cxbench${process.pid}`;
createNamespace(namespace);
try {
  using netlink = Rtnetlink.open({ namespace });
  netlink.createVeth({ name: "v0", peerName: "v1" });
  netlink.setLink("v0", { up: true });
  netlink.setLink("v1", { up: true });
  const interfaceIndex = netlink.getLink("v0")!.index;
  netlink.addAddress({ interfaceIndex, ip: ip("192.0.2.1"), prefixLength: 24 });
  for (const count of counts.length > 0 ? counts : [10_000, 100_000]) {
    process.stdout.write(report(count, measure(namespace, count)));
  }
} finally {
  deleteNamespace(namespace);
}
