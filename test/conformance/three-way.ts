/**
 * One question, three answers: what is expected, what the evaluator says of everything that is in the datastore, and
 * what becomes of real packets. Where they differ, all three are told.
 */

import { once } from "node:events";
import { type Key, key, RESOURCE_KINDS, type ResourceKind } from "../../datastore/key.ts";
import type { Flow, Observation } from "../../lab/packets/flow.ts";
import { Prober } from "../../lab/packets/prober.ts";
import { Stage } from "../../lab/stage.ts";
import { type Ip, type IpVersion, ipVersion } from "../../net/ip.ts";
import { type Packet, PolicyEvaluator } from "../../policy/evaluate.ts";
import { policyState } from "../../policy/state.ts";
import type { CaseProbe, ConformanceCase, EndpointSlice, Expected } from "./case-file.ts";
import { type Cast, SETTING } from "./cast.ts";

/** Kinds that no policy asks about. */
const NOT_ASKED: ReadonlySet<ResourceKind> = new Set([
  "BGPConfiguration",
  "BGPFilter",
  "BGPPeer",
  "CalicoNodeStatus",
  "ClusterInformation",
  "IPAMConfiguration",
  "IPPool",
  "IPReservation",
  "KubeControllersConfiguration",
  "LiveMigration",
]);

type CaseState = Pick<ConformanceCase, "resources" | "slices" | "endpoints">;

interface Question {
  readonly probe: CaseProbe;
  readonly flow: Flow;
  readonly packet: Packet;
}

export class ThreeWay {
  readonly #cast: Cast;
  readonly #stage: Stage;
  readonly #prober = new Prober();
  #slices: readonly EndpointSlice[] = [];

  private constructor(cast: Cast, stage: Stage) {
    this.#cast = cast;
    this.#stage = stage;
  }

  static async open(cast: Cast): Promise<ThreeWay> {
    return new ThreeWay(cast, await Stage.open(cast.lab));
  }

  /** Puts a state in force in place of the last one. */
  async put({ resources, slices, endpoints }: CaseState): Promise<void> {
    await this.#setSlices(slices);
    await this.#stage.set([...SETTING, ...resources], this.#cast.endpoints(endpoints));
  }

  /** Also forgets all flows: what an earlier case let through is no answer to this one's question. */
  async set(state: CaseState): Promise<void> {
    await this.put(state);
    await Promise.all(
      this.#cast.lab.record.hosts.map(({ name }) =>
        once(this.#cast.lab.exec(name, ["conntrack", "-F"], { stdio: "ignore" }), "close"),
      ),
    );
  }

  /** What the evaluator says of each probe; of both IP versions, they follow each other. */
  async evaluate(probes: readonly CaseProbe[]): Promise<("allow" | "deny")[]> {
    const evaluator = await this.#evaluator();
    return this.#questions(probes).map(question => this.#evaluated(evaluator, question));
  }

  /** A line for each answer that is not as it should be. */
  async differences(probes: readonly CaseProbe[]): Promise<string[]> {
    const questions = this.#questions(probes);
    const evaluator = await this.#evaluator();
    const observations = await this.#prober.probe(questions.map(({ flow }) => flow));
    return questions.flatMap((question, i) => {
      const { probe, flow } = question;
      const evaluated = probe.unjudged ? undefined : this.#evaluated(evaluator, question);
      const observed = answerOf(observations[i] as Observation);
      if (isAsExpected(probe.expected, observed) && isEvaluatedAsExpected(probe.expected, evaluated))
        return [];
      return [`${probe.text} (IPv${ipVersion(flow.address)}): evaluated ${evaluated}, observed ${observed}`];
    });
  }

  async close(): Promise<void> {
    await this.#prober.close();
    this.#stage.close();
  }

  #questions(probes: readonly CaseProbe[]): Question[] {
    return probes.flatMap(probe => probe.versions.map(version => this.#question(probe, version)));
  }

  #evaluated(evaluator: PolicyEvaluator, { packet, flow }: Question): "allow" | "deny" {
    return evaluator.verdict(packet, this.#cast.route(flow.from, flow.to)).verdict;
  }

  #question(probe: CaseProbe, version: IpVersion): Question {
    const [from, to] = [this.#cast.end(probe.from), this.#cast.end(probe.to)];
    const own = (addresses: readonly Ip[]) => addresses.find(address => ipVersion(address) === version) as Ip;
    const address = probe.at ?? own(to.addresses);
    const isIcmp = probe.protocol === "icmp";
    const protocol = probe.protocol === "icmp" ? (version === 4 ? "ICMP" : "ICMPv6") : probe.protocol;
    const icmp = isIcmp ? (probe.icmp ?? { type: version === 4 ? 8 : 128, code: 0 }) : undefined;
    const { port, sourcePort, source, evidence } = probe;
    return {
      probe,
      flow: {
        from,
        to,
        address,
        protocol,
        port,
        sourcePort,
        source,
        evidence,
        icmp,
        expect: probe.expected === "allow" ? "allow" : "deny",
      },
      packet: {
        source: source ?? own(from.addresses),
        destination: address,
        protocol,
        ...(port !== undefined && { destinationPort: port }),
        ...(sourcePort !== undefined && { sourcePort }),
        ...(icmp && { icmp }),
      },
    };
  }

  /** Of all that is in the datastore. */
  async #evaluator(): Promise<PolicyEvaluator> {
    const client = await this.#cast.lab.client();
    const documents: unknown[] = [...this.#slices];
    for (const kind of RESOURCE_KINDS)
      if (!NOT_ASKED.has(kind)) documents.push(...(await client.list(kind)).items);
    const { state, problems } = policyState(documents);
    if (problems.length > 0)
      throw new Error(`the evaluator does not understand: ${JSON.stringify(problems)}`);
    return new PolicyEvaluator(state);
  }

  async #setSlices(slices: readonly EndpointSlice[]): Promise<void> {
    const datastore = await this.#cast.lab.datastore();
    const keyOf = ({ metadata }: EndpointSlice): Key =>
      key("KubernetesEndpointSlice", metadata.name, metadata.namespace);
    for (const former of this.#slices) await datastore.delete(keyOf(former));
    for (const slice of slices) await datastore.create(keyOf(slice), slice);
    this.#slices = slices;
  }
}

function answerOf({ verdict, rejected }: Observation): Expected {
  return rejected ? "reject" : verdict;
}

/** A rejection is a denial, but not every denial is a rejection. */
function isAsExpected(expected: Expected, observed: Expected): boolean {
  return expected === observed || (expected === "deny" && observed === "reject");
}

/** The evaluator does not know how packets are denied. */
function isEvaluatedAsExpected(expected: Expected, evaluated: "allow" | "deny" | undefined): boolean {
  return evaluated === undefined || evaluated === (expected === "allow" ? "allow" : "deny");
}
