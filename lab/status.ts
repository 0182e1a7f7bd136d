/** `calctl lab status`: what is up in a lab and how it fares, as its daemons say. */

import { fetchStatus } from "../daemon/status-server.ts";
import type { Lab } from "./lab.ts";
import { isAlive } from "./process.ts";
import { table } from "./table.ts";

export interface LabStatus {
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

export async function labStatus(lab: Lab): Promise<LabStatus> {
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

export function statusTable({ lab, hosts, networks, workloads }: LabStatus): string {
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
