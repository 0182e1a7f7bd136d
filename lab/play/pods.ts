/** The pods of recorded states as workloads of a lab, spread over its hosts. Those that the next state has too stay. */

import type { WorkloadEndpoint } from "../../crd-schemas/index.ts";
import { type Ip, ipVersion } from "../../net/ip.ts";
import type { Lab } from "../lab.ts";
import type { ProbeEnd } from "../packets/flow.ts";
import { endpointOf } from "../resources.ts";
import type { WorkloadRecord } from "../state.ts";
import type { RecordedPod } from "./cases.ts";
import type { PlacedPod } from "./documents.ts";

interface Standing {
  readonly placed: PlacedPod;
  readonly end: ProbeEnd;
  /** Undefined for pods on their host's network. */
  readonly workload: WorkloadRecord | undefined;
}

export class Pods {
  readonly #lab: Lab;
  #standing = new Map<string, Standing>();
  #count = 0;

  constructor(lab: Lab) {
    this.#lab = lab;
  }

  /** These and no others; `leaving` is told of the namespace of each that goes. */
  async set(
    pods: readonly RecordedPod[],
    leaving: (namespace: string) => Promise<void>,
  ): Promise<PlacedPod[]> {
    const wanted = new Map(pods.map(pod => [nameOf(pod), pod]));
    const gone = [...this.#standing].filter(
      ([name, { placed }]) => !isSame(placed.recorded, wanted.get(name)),
    );
    await Promise.all(
      gone.map(async ([name, { workload }]) => {
        this.#standing.delete(name);
        if (!workload) return;
        await leaving(workload.namespace);
        await this.#lab.remove(workload.name);
      }),
    );
    await Promise.all(
      [...wanted].map(async ([name, pod], i) => {
        const there = this.#standing.get(name);
        const standing = there
          ? { ...there, placed: { ...there.placed, recorded: pod } }
          : await this.#place(pod, i);
        this.#standing.set(name, standing);
      }),
    );
    return pods.map(pod => this.#of(nameOf(pod)).placed);
  }

  /** Where packets from and to the pod start and end. */
  end(name: string): ProbeEnd {
    return this.#of(name).end;
  }

  /** What a conversion made of the pod, as the endpoint of its workload here. */
  endpoint(converted: WorkloadEndpoint): WorkloadEndpoint {
    const { labels, namespace } = converted.metadata;
    const { pod, profiles, ports, serviceAccountName } = converted.spec ?? {};
    const workload = this.#of(`${namespace}/${pod}`).workload as WorkloadRecord;
    return endpointOf(workload, undefined, labels, {
      ...(profiles && { profiles }),
      ...(ports && { ports }),
      ...(serviceAccountName && { serviceAccountName }),
    });
  }

  async clear(): Promise<void> {
    await this.set([], async () => {});
  }

  async #place(pod: RecordedPod, i: number): Promise<Standing> {
    const { hosts } = this.#lab.record;
    const host = hosts[i % hosts.length] as (typeof hosts)[number];
    const at = { recorded: pod, node: host.name, nodeAddress: host.address };
    if (pod.hostNetwork) {
      const end = { name: nameOf(pod), namespace: host.namespace, addresses: [host.address] };
      return { placed: { ...at, address: host.address }, end, workload: undefined };
    }
    const workload = await this.#lab.run(`pod-${++this.#count}`, {
      host: host.name,
      namespace: pod.ns,
      pod: pod.name,
    });
    const address = workload.addresses.find(own => ipVersion(own) === ipVersion(pod.ip)) as Ip;
    const end = { name: nameOf(pod), namespace: workload.namespace, addresses: workload.addresses };
    return { placed: { ...at, address }, end, workload };
  }

  #of(name: string): Standing {
    return this.#standing.get(name) as Standing;
  }
}

function nameOf(pod: RecordedPod): string {
  return `${pod.ns}/${pod.name}`;
}

/** Whether it can be taken for the other, but for labels and ports. */
function isSame(a: RecordedPod, b: RecordedPod | undefined): boolean {
  return b !== undefined && Boolean(a.hostNetwork) === Boolean(b.hostNetwork);
}
