/** `calctl lab`: the laboratory on the command line. */

import { readFileSync } from "node:fs";
import { Command, InvalidArgumentError, Option } from "commander";
import { parseDocument } from "yaml";
import { fetchStatus } from "../daemon/status-server.ts";
import { type Cidr, parseCidr } from "../net/cidr.ts";
import { type Ip, parseIp } from "../net/ip.ts";
import { LAB_ENCAPSULATIONS } from "./encapsulation.ts";
import { Lab } from "./lab.ts";
import { playCommand } from "./play/command.ts";
import { PROBE_PROTOCOLS, type ProbeProtocol, probe, type Verdict } from "./probe.ts";
import { isAlive } from "./process.ts";
import { parseServed, type ServedPort } from "./serve.ts";
import { LAB_DATAPLANES, LabError, LabErrorCode, listLabs } from "./state.ts";

export interface LabContext {
  readonly stdin: AsyncIterable<string | Uint8Array>;
  readonly stdout: { write(text: string): unknown };
}

/** One line of a probe file. */
export interface ProbeRequest {
  readonly from: string;
  readonly to: string;
  readonly port?: number;
  readonly protocol?: ProbeProtocol;
  readonly expect?: Verdict;
}

export interface ProbeResult extends ProbeRequest {
  readonly observed: Verdict;
  readonly ms: number;
}

export function labCommand(context: LabContext): Command {
  const lab = new Command("lab")
    .enablePositionalOptions()
    .description("hosts in network namespaces on this machine: try things, break things")
    .option("--name <lab>", "which lab; several can be up at once", "calyx")
    .addHelpText(
      "after",
      `
Examples:
  calctl lab up --hosts 2
  calctl lab network create cal_net1
  calctl lab run web1 --host host1 --network cal_net1 --serve tcp:80
  calctl lab run client --host host2 --network cal_net1
  calctl lab exec client -- ping -c 3 192.168.…
  calctl lab exec host1 -- ip route
  calctl lab status
  calctl lab down`,
    );
  const open = () => new Lab(lab.opts<{ name: string }>().name);
  const say = (text: string) => context.stdout.write(`${text}\n`);
  const json = (value: unknown) => say(JSON.stringify(value, undefined, 2));

  lab
    .command("up")
    .description("start hosts with felix and bgp on each, on a fresh datastore")
    .requiredOption("--hosts <n>", "how many", positive)
    .addOption(new Option("--datastore <kind>").choices(["embedded", "etcd"]).default("embedded"))
    .addOption(
      new Option("--dataplane <kind>", "default: what the configuration says").choices(LAB_DATAPLANES),
    )
    .addOption(new Option("--topology <kind>").choices(["mesh", "rr", "tor"]).default("mesh"))
    .addOption(
      new Option(
        "--encapsulation <kind>",
        "how packets travel between hosts; with -cross-subnet, these stand in two subnets by turns",
      ).choices(LAB_ENCAPSULATIONS),
    )
    .option("--pool <cidr>", "IP pool of the workloads", cidrArgument)
    .option("--ipv6", "a second address for everything")
    .action(async options => {
      const self = open();
      const record = await self.up(options);
      for (const host of record.hosts) say(`${host.name}  ${host.address}  namespace ${host.namespace}`);
      say("");
      say("To use calctl and the daemons on this lab's datastore:");
      for (const [name, value] of Object.entries(self.datastoreEnvironment()))
        say(`  export ${name}=${value}`);
      await self.close();
    });

  lab
    .command("down")
    .description("end every process of the lab and remove all of it")
    .action(async () => {
      await open().down();
    });

  const network = lab.command("network").description("networks: whose members may talk to each other");
  network
    .command("create <network>")
    .option("--subnet <cidr>", "an IP pool's CIDR, to take addresses from", cidrArgument)
    .action(async (name: string, options: { subnet?: Cidr }) => {
      await using(open(), async self => {
        const record = await self.createNetwork(name, options.subnet);
        say(`network ${name} is profile ${record.profile}`);
      });
    });

  lab
    .command("run <workload>")
    .description("start a workload: a namespace with an address, a route and a policy")
    .requiredOption("--host <host>")
    .option("--network <network>")
    .option("--namespace <namespace>", "of the endpoint resource", "default")
    .option("--label <key=value>", "label, repeatable", collectLabels, {})
    .option("--ip <address>", "this address", ipArgument)
    .option("--serve <list>", "answer on these ports, e.g. tcp:80,udp:81", servedArgument)
    .action(
      async (
        name: string,
        options: {
          label: Record<string, string>;
          serve?: ServedPort[];
          host: string;
          network?: string;
          namespace: string;
          ip?: Ip;
        },
      ) => {
        await using(open(), async self => {
          const workload = await self.run(name, {
            host: options.host,
            network: options.network,
            namespace: options.namespace,
            labels: options.label,
            ip: options.ip,
            ...(options.serve && { serve: options.serve }),
          });
          say(`${name}  ${workload.addresses.join(" ")}  on ${workload.host}, ${workload.interfaceName}`);
        });
      },
    );

  lab
    .command("remove <workload>")
    .description("end a workload and give its address back")
    .action(async (name: string) => {
      await using(open(), self => self.remove(name));
    });

  lab
    .command("exec <name> <command...>")
    .description("run a command inside a workload or a host")
    .passThroughOptions()
    .action(async (name: string, words: string[]) => {
      // Behind pass-through options the separator is a word like any other.
      const command = words[0] === "--" ? words.slice(1) : words;
      const child = open().exec(name, command, { stdio: "inherit" });
      process.exitCode = await new Promise<number>((resolve, reject) => {
        child.once("error", error =>
          reject(new LabError(LabErrorCode.InvalidInput, `${command[0]}: ${error.message}`)),
        );
        child.once("exit", code => resolve(code ?? 1));
      });
    });
  lab
    .command("probe <file>")
    .description("try a list of connections, all at once, and say what was observed")
    .addOption(new Option("-o, --output <format>").choices(["table", "json"]).default("table"))
    .option("--timeout <ms>", "how long to wait for an answer", positive, 2000)
    .action(async (file: string, options: { output: string; timeout: number }) => {
      const self = open();
      const results = await runProbes(self, await readProbes(file, context), options.timeout);
      if (options.output === "json") json(results);
      else say(probeTable(results));
      if (results.some(result => result.expect !== undefined && result.expect !== result.observed))
        process.exitCode = 1;
    });

  lab.addCommand(playCommand(context, open));

  lab
    .command("restart [host]")
    .description("kill felix and bgp, of one host or of all, and start them again")
    .action(async (host: string | undefined) => {
      await using(open(), async self => {
        const hosts = self.record.hosts.filter(each => host === undefined || each.name === host);
        if (hosts.length === 0) self.state.host(host ?? "");
        for (const { name } of hosts) {
          for (const daemon of ["felix", "bgp"] as const) {
            await self.kill(name, daemon);
            await self.start(name, daemon);
          }
        }
      });
    });

  lab
    .command("status")
    .description("hosts, daemons, networks and workloads")
    .addOption(new Option("-o, --output <format>").choices(["table", "json"]).default("table"))
    .action(async (options: { output: string }) => {
      const status = await labStatus(open());
      if (options.output === "json") json(status);
      else say(statusTable(status));
    });

  lab
    .command("list")
    .description("labs that are up")
    .action(() => {
      for (const name of listLabs()) say(name);
    });

  return lab;
}

async function using(lab: Lab, work: (lab: Lab) => Promise<void>): Promise<void> {
  try {
    await work(lab);
  } finally {
    await lab.close();
  }
}

/** All at once; each connection has its own socket in its own namespace. */
export async function runProbes(
  lab: Lab,
  requests: readonly ProbeRequest[],
  timeoutMs: number,
): Promise<ProbeResult[]> {
  return Promise.all(
    requests.map(async request => {
      const begun = performance.now();
      const observed = await probe({
        namespace: lab.namespaceOf(request.from),
        address: lab.addressOf(request.to),
        port: request.port,
        protocol: request.protocol ?? "TCP",
        timeoutMs,
      });
      return { ...request, observed, ms: Math.round(performance.now() - begun) };
    }),
  );
}

async function readProbes(file: string, context: LabContext): Promise<ProbeRequest[]> {
  let text = "";
  if (file === "-") for await (const chunk of context.stdin) text += chunk.toString();
  else text = readFileSync(file, "utf8");
  const refuse = (where: string, expected: string): never => {
    throw new LabError(LabErrorCode.InvalidInput, `${file}: ${where}: expected ${expected}`);
  };
  const document = parseDocument(text, { prettyErrors: false });
  const [mistake] = document.errors;
  if (mistake) {
    const before = text.slice(0, mistake.pos[0]).split("\n");
    throw new LabError(
      LabErrorCode.InvalidInput,
      `${file}:${before.length}:${(before.at(-1)?.length ?? 0) + 1}: ${mistake.message}`,
    );
  }
  const list: unknown = document.toJS();
  if (!Array.isArray(list))
    return refuse("top level", 'a list of {"from", "to", "port", "protocol", "expect"}');
  return list.map((item: Record<string, unknown>, i) => {
    const where = `[${i}]`;
    if (typeof item?.["from"] !== "string") refuse(`${where}.from`, "the name of a workload or host");
    if (typeof item["to"] !== "string")
      refuse(`${where}.to`, "the name of a workload or host, or an address");
    const protocol = String(item["protocol"] ?? "TCP").toUpperCase() as ProbeProtocol;
    if (!PROBE_PROTOCOLS.includes(protocol)) refuse(`${where}.protocol`, PROBE_PROTOCOLS.join(", "));
    if (protocol !== "ICMP" && !(Number(item["port"]) >= 1 && Number(item["port"]) <= 65535))
      refuse(`${where}.port`, "1 to 65535");
    const expect = item["expect"];
    if (expect !== undefined && expect !== "allow" && expect !== "deny")
      refuse(`${where}.expect`, "allow or deny");
    return { ...item, protocol } as ProbeRequest;
  });
}

function probeTable(results: readonly ProbeResult[]): string {
  return table(
    ["FROM", "TO", "PROTOCOL", "PORT", "EXPECT", "OBSERVED", "MS"],
    results.map(r => [
      r.from,
      r.to,
      r.protocol ?? "TCP",
      String(r.port ?? ""),
      r.expect ?? "",
      r.observed,
      String(r.ms),
    ]),
  );
}

interface LabStatus {
  readonly lab: Lab["record"];
  readonly hosts: readonly {
    readonly name: string;
    readonly address: string;
    readonly felix: string;
    readonly bgp: string;
    readonly established: number;
    readonly neighbors: number;
    /** What works otherwise than it should, in the daemons' words. */
    readonly problems: readonly string[];
  }[];
  readonly networks: ReturnType<Lab["state"]["networks"]>;
  readonly workloads: ReturnType<Lab["state"]["workloads"]>;
}

async function labStatus(lab: Lab): Promise<LabStatus> {
  const record = lab.record;
  const hosts = record.hosts.map(async host => {
    const daemon = async (name: "felix" | "bgp") => {
      const ref = lab.state.process(`${host.name}-${name}`);
      if (!ref || !isAlive(ref)) return "dead";
      const answer = await fetchStatus(lab.state.hostPath(host.name, "run", `${name}.sock`), "/readiness");
      return answer?.code === 204 ? "ready" : (answer?.body.trim() ?? "no answer");
    };
    const statusOf = (name: string) => fetchStatus(lab.state.hostPath(host.name, "run", `${name}.sock`));
    const [bgp, felix] = await Promise.all([statusOf("bgp"), statusOf("felix")]);
    const neighbors: { state?: string }[] = bgp ? JSON.parse(bgp.body).neighbors : [];
    return {
      name: host.name,
      address: host.address,
      felix: await daemon("felix"),
      bgp: await daemon("bgp"),
      established: neighbors.filter(neighbor => neighbor.state === "Established").length,
      neighbors: neighbors.length,
      problems: felix ? (JSON.parse(felix.body).problems ?? []) : [],
    };
  });
  return {
    lab: record,
    hosts: await Promise.all(hosts),
    networks: lab.state.networks(),
    workloads: lab.state.workloads(),
  };
}

function statusTable({ lab, hosts, networks, workloads }: LabStatus): string {
  // A reason may be a whole sentence of iptables': it has a line of its own.
  const short = (state: string) => (["ready", "dead", "no answer"].includes(state) ? state : "not ready");
  const reasons = hosts.flatMap(({ name, felix, bgp }) =>
    Object.entries({ felix, bgp })
      .filter(([, state]) => short(state) === "not ready")
      .map(([daemon, state]) => `${daemon} on ${name}: ${state}`),
  );
  const problems = hosts.flatMap(host => host.problems.map(problem => `felix on ${host.name}: ${problem}`));
  return [
    `Lab ${lab.name}: ${lab.dataplane ? `${lab.dataplane}, ` : ""}${lab.datastore} datastore, ${lab.topology}, pool ${lab.pool}${lab.encapsulation ? ` (${lab.encapsulation})` : ""}`,
    "",
    table(
      ["HOST", "ADDRESS", "FELIX", "BGP", "ESTABLISHED"],
      hosts.map(host => [
        host.name,
        host.address,
        short(host.felix),
        short(host.bgp),
        `${host.established}/${host.neighbors}`,
      ]),
    ),
    ...reasons,
    ...problems,
    "",
    table(
      ["NETWORK", "PROFILE", "SUBNET"],
      networks.map(network => [network.name, network.profile, network.subnet ?? ""]),
    ),
    "",
    table(
      ["WORKLOAD", "HOST", "NETWORK", "ADDRESS", "INTERFACE"],
      workloads.map(w => [w.name, w.host, w.network ?? "", w.addresses.join(" "), w.interfaceName]),
    ),
  ].join("\n");
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = heads.map((head, i) => Math.max(head.length, ...rows.map(row => row[i]?.length ?? 0)));
  return [heads, ...rows]
    .map(row =>
      row
        .map((cell, i) => cell.padEnd((widths[i] ?? 0) + 3))
        .join("")
        .trimEnd(),
    )
    .join("\n");
}

function positive(text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new InvalidArgumentError("expected a whole number from 1 on");
  return Number(text);
}

function cidrArgument(text: string): Cidr {
  const block = parseCidr(text);
  if (block === undefined) throw new InvalidArgumentError("expected a CIDR such as 10.0.0.0/16");
  return block;
}

function ipArgument(text: string): Ip {
  const address = parseIp(text);
  if (address === undefined) throw new InvalidArgumentError("expected an IP address");
  return address;
}

function servedArgument(text: string): ServedPort[] {
  try {
    return parseServed(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

function collectLabels(text: string, labels: Record<string, string>): Record<string, string> {
  const [, key, value] = /^([^=]+)=(.*)$/.exec(text) ?? [];
  if (key === undefined || value === undefined) throw new InvalidArgumentError("expected key=value");
  return { ...labels, [key]: value };
}
