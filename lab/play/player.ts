/**
 * Plays recorded states in a lab: namespaces, pods and policies become what they would be in a cluster, every probe
 * becomes packets, and what is reported is where these fared otherwise than upstream expects.
 */

import type { Resource, WorkloadEndpoint } from "../../crd-schemas/index.ts";
import type { ResourceKind } from "../../datastore/key.ts";
import { convertDocuments } from "../../policy/convert/documents.ts";
import type { Lab } from "../lab.ts";
import { Prober } from "../packets/prober.ts";
import type { Verdict } from "../probe.ts";
import { Stage } from "../stage.ts";
import { LabError, LabErrorCode } from "../state.ts";
import type { RecordedCase, RecordedProbe } from "./cases.ts";
import { documentsOf } from "./documents.ts";
import { Pods } from "./pods.ts";

export interface Played {
  readonly name: string;
  /** How many were sent. */
  readonly probes: number;
  readonly different: readonly (RecordedProbe & { readonly observed: Verdict })[];
}

export class Player {
  readonly #lab: Lab;
  readonly #stage: Stage;
  readonly #pods: Pods;
  readonly #prober = new Prober();

  private constructor(lab: Lab, stage: Stage) {
    this.#lab = lab;
    this.#stage = stage;
    this.#pods = new Pods(lab);
  }

  static async open(lab: Lab): Promise<Player> {
    return new Player(lab, await Stage.open(lab));
  }

  /** In place of what was played before: what both have stays, so that states of one test meet the same pods. */
  async play(recorded: RecordedCase): Promise<Played> {
    const pods = await this.#pods.set(recorded.pods, namespace => this.#prober.forget(namespace));
    const documents = documentsOf(recorded, pods, [this.#lab.record.pool]);
    const { resources, problems } = convertDocuments(documents);
    const [problem] = problems;
    if (problem) {
      const where = `${recorded.name}: object ${problem.document}: ${problem.path.join(".")}`;
      throw new LabError(
        LabErrorCode.InvalidInput,
        `${where}: ${problem.message}, expected ${problem.expected}`,
      );
    }
    const all = resources.map(({ resource }) => resource);
    await this.#stage.set(
      all.filter((resource): resource is ToStore => !OF_THE_LAB.has(resource.kind)),
      all.filter(isEndpoint).map(endpoint => this.#pods.endpoint(endpoint)),
    );
    const observations = await this.#prober.probe(
      recorded.probes.map(({ from, to, port, protocol, expect }) => {
        const receiver = this.#pods.end(to);
        const [address] = receiver.addresses as readonly [(typeof receiver.addresses)[number]];
        return { from: this.#pods.end(from), to: receiver, address, port, protocol, expect };
      }),
    );
    const different = recorded.probes.flatMap((probe, i) => {
      const observed = observations[i]?.verdict as Verdict;
      return observed === probe.expect ? [] : [{ ...probe, observed }];
    });
    return { name: recorded.name, probes: recorded.probes.length, different };
  }

  /** The lab is as before. */
  async close(): Promise<void> {
    try {
      await this.#prober.close();
      await this.#stage.clear();
      await this.#pods.clear();
    } finally {
      this.#stage.close();
    }
  }
}

type ToStore = Extract<Resource, { readonly kind: ResourceKind }>;

/** Its hosts are nodes already, and its workloads have endpoints. */
const OF_THE_LAB: ReadonlySet<Resource["kind"]> = new Set(["Node", "WorkloadEndpoint"]);

function isEndpoint(resource: Resource): resource is WorkloadEndpoint {
  return resource.kind === "WorkloadEndpoint";
}
