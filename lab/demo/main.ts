/**
 * The demo: two hosts, two networks, one opened port, from nothing, with every claim checked on real packets.
 *
 *   node lab/demo/main.ts [--keep] [--datastore embedded|etcd] [--name LAB]
 */

import { spawn } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { RouteProtocol, Rtnetlink } from "../../linux/rtnetlink.ts";
import { cidr, cidrOf } from "../../net/cidr.ts";
import { fetchFrom } from "../http.ts";
import { Lab } from "../lab.ts";
import { type LabDatastore, LabError } from "../state.ts";
import { compareTraces, takeTraces } from "../traces.ts";
import { HOST_VETH_MAC } from "../wiring.ts";
import { pingTtl, RunningPing } from "./ping.ts";
import { Steps } from "./steps.ts";

const ROOT = join(import.meta.dirname, "..", "..");

/** As an old tutorial has it, to the letter. */
const WEB_YML = `- apiVersion: v1
  kind: profile
  metadata:
    name: cal_web
  spec:
    ingress:
      - action: allow
        protocol: tcp
        source:
          tag: cal_net2
        destination:
          ports:
            - 80
`;

const POOL_YML = `- apiVersion: v1
  kind: ipPool
  metadata:
    cidr: 17.2.0.0/16
`;

const say = (line: string) => process.stdout.write(`${line}\n`);

const { values } = parseArgs({
  options: {
    keep: { type: "boolean", default: false },
    datastore: { type: "string", default: "embedded" },
    name: { type: "string", default: "demo" },
  },
});

const lab = new Lab(values.name);
const steps = new Steps(say);
const begun = performance.now();
// What an earlier run left up (KEEP=1) is no part of what was there before.
if (lab.state.exists) await lab.down();
const before = takeTraces(lab.name);
let finished = false;

const onSignal = () => void lab.down().then(() => process.exit(130));
process.once("SIGINT", onSignal);
process.once("SIGTERM", onSignal);

try {
  await demo();
  finished = steps.failed.length === 0;
} catch (error) {
  say(`\nThe demo could not go on: ${error instanceof LabError ? error.message : (error as Error).stack}`);
}

if (values.keep && finished) {
  await lab.close();
  whatNext();
} else {
  if (lab.state.exists) await lab.down();
  const left = compareTraces(before, takeTraces(lab.name));
  steps.begin("Clean up");
  await steps.check({
    what: "namespaces, links, routes, chains, sets, processes, files",
    expected: "as before",
    observe: () => (left.length === 0 ? "as before" : `${left.length} differ`),
    within: 0,
  });
  for (const difference of left.slice(0, 20)) say(`     ${difference}`);
  if (left.length > 0) finished = false;
}
const seconds = ((performance.now() - begun) / 1000).toFixed(1);
say(`\n${steps.results.length - steps.failed.length} of ${steps.results.length} checks ok in ${seconds} s`);
process.exit(finished ? 0 : 1);

async function demo(): Promise<void> {
  say(`Two hosts, felix and bgp on each, on the ${values.datastore} datastore.\n\n${Steps.head}`);

  steps.begin("One network over two hosts");
  steps.show("calctl lab up --hosts 2");
  await lab.up({ hosts: 2, datastore: values.datastore as LabDatastore });
  steps.show("calctl lab network create cal_net1");
  await lab.createNetwork("cal_net1");
  steps.show(
    "calctl lab run bbox1 --host host1 --network cal_net1; calctl lab run bbox2 --host host2 --network cal_net1",
  );
  await lab.run("bbox1", { host: "host1", network: "cal_net1" });
  await lab.run("bbox2", { host: "host2", network: "cal_net1" });
  await checkInside("bbox1");
  await checkHost("host1", "host2", "bbox1", "bbox2");
  const address2 = lab.addressOf("bbox2");
  await steps.check({
    what: "bbox1 pings bbox2",
    expected: "ttl 62",
    observe: () => pingTtl(lab, "bbox1", address2),
  });

  steps.begin("A second network on the same host: only members may talk");
  steps.show("calctl lab network create cal_net2; calctl lab run bbox3 --host host1 --network cal_net2");
  await lab.createNetwork("cal_net2");
  await lab.run("bbox3", { host: "host1", network: "cal_net2" });
  await steps.check({
    what: "bbox1 and bbox3 share a /26",
    expected: "yes",
    observe: () => (cidrOf(lab.addressOf("bbox1"), 26) === cidrOf(lab.addressOf("bbox3"), 26) ? "yes" : "no"),
  });
  await checkNoPing("bbox1", "bbox3");
  await checkNoPing("bbox3", "bbox1");

  steps.begin("A web server in a third network: nobody outside gets in");
  steps.show(
    "calctl lab network create cal_web; calctl lab run web1 --host host2 --network cal_web --serve tcp:80",
  );
  await lab.createNetwork("cal_web");
  await lab.run("web1", { host: "host2", network: "cal_web", serve: [{ protocol: "tcp", port: 80 }] });
  await checkHttp("bbox3", "timed out");

  steps.begin("One port opened, by a file of Calico's first days");
  steps.show("calctl apply -f web.yml");
  await checkCommand(["apply", "-f", "-"], WEB_YML, "Successfully applied 1 'Profile' resource(s)");
  await checkHttp("bbox3", "200");
  await checkNoPing("bbox3", "web1");
  await checkHttp("bbox1", "timed out");
  await checkNoPing("bbox1", "web1");

  steps.begin("A pool of its own for a network");
  steps.show("cat pool.yml | calctl create -f -");
  await checkCommand(["create", "-f", "-"], POOL_YML, "Successfully created 1 'IPPool' resource(s)");
  steps.show("calctl lab network create cal_pool --subnet 17.2.0.0/16");
  await lab.createNetwork("cal_pool", cidr("17.2.0.0/16"));
  await lab.run("pooled1", { host: "host1", network: "cal_pool" });
  await lab.run("pooled2", { host: "host2", network: "cal_pool" });
  await steps.check({
    what: "addresses of pooled1 and pooled2",
    expected: "17.2.x.x 17.2.x.x",
    observe: () =>
      ["pooled1", "pooled2"]
        .map(name => lab.addressOf(name).replace(/^17\.2\.\d+\.\d+$/, "17.2.x.x"))
        .join(" "),
  });
  await checkRoute("host1", `${cidrOf(lab.addressOf("pooled2"), 26)} via ${hostAddress("host2")} proto bgp`);
  await steps.check({
    what: "pooled1 pings pooled2",
    expected: "ttl 62",
    observe: () => pingTtl(lab, "pooled1", lab.addressOf("pooled2")),
  });
  await checkNoPing("pooled1", "bbox2");

  steps.begin("Every process killed with SIGKILL, and started again");
  const routes = routesOf("host1") + routesOf("host2");
  const pings = [
    new RunningPing(lab, "bbox1", address2),
    new RunningPing(lab, "pooled1", lab.addressOf("pooled2")),
  ];
  const hosts = lab.record.hosts.map(host => host.name);
  steps.show("kill -9 (felix and bgp on host1 and host2)");
  for (const host of hosts) for (const daemon of ["felix", "bgp"] as const) await lab.kill(host, daemon);
  await new Promise(resolve => setTimeout(resolve, 500));
  await Promise.all(hosts.flatMap(host => [lab.start(host, "felix"), lab.start(host, "bgp")]));
  await steps.check({
    what: "routes of both hosts",
    expected: "the same",
    observe: () => (routesOf("host1") + routesOf("host2") === routes ? "the same" : "changed"),
  });
  await new Promise(resolve => setTimeout(resolve, 1000));
  for (const [i, ping] of pings.entries()) {
    const { sent, received } = await ping.stop();
    await steps.check({
      what: `pings that were running, ${i === 0 ? "bbox1 to bbox2" : "pooled1 to pooled2"}`,
      expected: "0 lost",
      observe: () => (sent === 0 ? "none sent" : `${sent - received} lost`),
      within: 0,
    });
  }
  await checkHttp("bbox3", "200");
  await checkHttp("bbox1", "timed out");
  await checkNoPing("bbox1", "bbox3");
}

async function checkInside(workload: string): Promise<void> {
  const { namespace } = lab.state.workload(workload);
  await steps.check({
    what: `inside ${workload}: address of cali0`,
    expected: `${lab.addressOf(workload)}/32`,
    observe: () => {
      using netlink = Rtnetlink.open({ namespace });
      const interfaceIndex = netlink.getLink("cali0")?.index ?? -1;
      return netlink
        .listAddresses({ family: 4, interfaceIndex })
        .map(a => `${a.ip}/${a.prefixLength}`)
        .join();
    },
  });
  await steps.check({
    what: `inside ${workload}: default route`,
    expected: "via 169.254.1.1 cali0",
    observe: () => {
      using netlink = Rtnetlink.open({ namespace });
      const route = netlink.listRoutes({ family: 4 }).find(each => each.destination === "0.0.0.0/0");
      return `via ${route?.gateway} ${netlink.getLink(route?.interfaceIndex ?? -1)?.name}`;
    },
  });
}

async function checkHost(host: string, other: string, workload: string, remote: string): Promise<void> {
  const { namespace } = lab.state.host(host);
  const { interfaceName } = lab.state.workload(workload);
  await steps.check({
    what: `on ${host}: MAC of ${interfaceName}`,
    expected: HOST_VETH_MAC,
    observe: () => {
      using netlink = Rtnetlink.open({ namespace });
      return netlink.getLink(interfaceName)?.mac ?? "none";
    },
  });
  await steps.check({
    what: `on ${host}: proxy ARP`,
    expected: "1",
    observe: async () =>
      (await output(host, ["cat", `/proc/sys/net/ipv4/conf/${interfaceName}/proxy_arp`])).trim(),
  });
  await checkRoute(host, `${lab.addressOf(workload)} dev ${interfaceName} scope link`);
  await checkRoute(host, `blackhole ${cidrOf(lab.addressOf(workload), 26)} proto bgp`);
  await checkRoute(host, `${cidrOf(lab.addressOf(remote), 26)} via ${hostAddress(other)} proto bgp`);
}

async function checkRoute(host: string, route: string): Promise<void> {
  await steps.check({
    what: `on ${host}: ${route}`,
    expected: "there",
    observe: () => (routesOf(host).split("\n").includes(route) ? "there" : "missing"),
  });
}

/** The host's routes of ours, as `ip route` would say them. */
function routesOf(host: string): string {
  using netlink = Rtnetlink.open({ namespace: lab.state.host(host).namespace });
  const names = new Map(netlink.listLinks().map(link => [link.index, link.name]));
  const lines: string[] = [];
  for (const route of netlink.listRoutes({ family: 4, table: 254 })) {
    const device = names.get(route.interfaceIndex ?? -1) ?? "";
    if (route.protocol === RouteProtocol.BGP) {
      lines.push(
        route.type === "blackhole"
          ? `blackhole ${route.destination} proto bgp`
          : `${route.destination} via ${route.gateway} proto bgp`,
      );
    } else if (device.startsWith("cali"))
      lines.push(`${route.destination.replace("/32", "")} dev ${device} scope link`);
  }
  return `${lines.sort().join("\n")}\n`;
}

/** Asked once: a packet that gets through at first is what must not happen, whatever is denied a moment later. */
async function checkNoPing(from: string, to: string): Promise<void> {
  await steps.check({
    what: `${from} pings ${to}`,
    expected: "no answer",
    observe: () => pingTtl(lab, from, lab.addressOf(to)),
    within: 0,
  });
}

async function checkHttp(from: string, expected: "200" | "timed out"): Promise<void> {
  await steps.check({
    what: `${from} fetches http://web1/`,
    expected,
    observe: async () =>
      String((await fetchFrom(lab.namespaceOf(from), lab.addressOf("web1"), 80, 1000)) ?? "timed out"),
    ...(expected === "timed out" && { within: 0 }),
  });
}

async function checkCommand(args: readonly string[], stdin: string, expected: string): Promise<void> {
  const result = await calctl(args, stdin);
  await steps.check({
    what: `calctl ${args.join(" ")}`,
    expected: "ok",
    observe: () => (result.trim() === expected ? "ok" : result.trim()),
    within: 0,
  });
}

/** Runs bin/calctl as a user would, on the lab's datastore; what it printed. */
function calctl(args: readonly string[], stdin: string): Promise<string> {
  const child = spawn(join(ROOT, "bin", "calctl"), args, {
    env: { ...process.env, ...lab.datastoreEnvironment() },
    stdio: ["pipe", "pipe", "pipe"],
  });
  let text = "";
  child.stdout.on("data", chunk => {
    text += chunk;
  });
  child.stderr.on("data", chunk => {
    text += chunk;
  });
  child.stdin.end(stdin);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", () => resolve(text));
  });
}

async function output(name: string, command: readonly string[]): Promise<string> {
  const child = lab.exec(name, command, { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout?.on("data", chunk => {
    text += chunk;
  });
  await new Promise(resolve => child.once("close", resolve));
  return text;
}

function hostAddress(host: string): string {
  return lab.state.host(host).address;
}

function whatNext(): void {
  const calctlLab = `bin/calctl lab --name ${values.name}`;
  say(`
The lab is up. What to try next:

  ${calctlLab} status                                  who is where
  ${calctlLab} exec bbox1 -- ping -c 3 ${lab.addressOf("bbox2")}     a packet over BGP routes
  ${calctlLab} exec host1 -- ip route                  what felix and bgp wrote
  ${calctlLab} exec host1 -- iptables-save             the policy, as the kernel has it
  ${calctlLab} run bbox4 --host host2 --network cal_net2 --serve tcp:80
${Object.entries(lab.datastoreEnvironment())
  .map(([name, value]) => `  export ${name}=${value}`)
  .join("\n")}
  bin/calctl get profiles -o yaml                       the networks
  bin/calctl get workloadendpoints                      the workloads
  bin/calctl ipam show --show-blocks                    the addresses
  ${calctlLab} down                                    the end`);
}
