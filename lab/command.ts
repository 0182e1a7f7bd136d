/** `calctl lab`: the laboratory on the command line. */

import { Command, InvalidArgumentError, Option } from "commander";
import { type Cidr, parseCidr } from "../net/cidr.ts";
import { type Ip, parseIp } from "../net/ip.ts";
import { LAB_ENCAPSULATIONS } from "./encapsulation.ts";
import { Lab } from "./lab.ts";
import { playCommand } from "./play/command.ts";
import { probeTable, readProbes, runProbes } from "./probe-list.ts";
import { parseServed, type ServedPort } from "./serve.ts";
import { LAB_DATAPLANES, LabError, LabErrorCode, listLabs } from "./state.ts";
import { labStatus, statusTable } from "./status.ts";

export interface LabContext {
  readonly stdin: AsyncIterable<string | Uint8Array>;
  readonly stdout: { write(text: string): unknown };
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
      const results = await runProbes(self, await readProbes(file, context.stdin), options.timeout);
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
