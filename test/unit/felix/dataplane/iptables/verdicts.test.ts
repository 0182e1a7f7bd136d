import { actionChains } from "../../../../../felix/dataplane/iptables/actions.ts";
import { setName } from "../../../../../felix/dataplane/iptables/names.ts";
import { policyRules } from "../../../../../felix/dataplane/iptables/policy-chains.ts";
import { allocateMarks } from "../../../../../felix/dataplane/marks.ts";
import { ipVersion } from "../../../../../net/ip.ts";
import { itMeansTheModel, type WalkedDataplane } from "../verdict-properties.ts";
import { configOf, FilteringKernel } from "./kernel.ts";
import { walk } from "./packet-walk.ts";

const MARKS = allocateMarks(0xffff0000);

/** In front of a strict kernel made of Maps. */
const iptables: WalkedDataplane = {
  policy: (policy, direction, sets) => packet => {
    const version = ipVersion(packet.source);
    const context = { version, marks: MARKS, config: configOf(), table: "filter" } as const;
    const { rules } = policyRules(policy, direction, context);
    const ofVersion = (members: Iterable<string>) =>
      [...members].filter(one => /^[^,]*:/.test(one) === (version === 6));
    const ruleset = {
      chains: new Map(
        [...actionChains(context), ["p", rules] as const].map(([chain, list]) => [
          chain,
          list.map(({ text }) => text),
        ]),
      ),
      sets: new Map(
        [...sets].map(([id, all]) => [setName(version, id), { members: new Set(ofVersion(all)) }]),
      ),
    };
    const { verdict, mark, logged } = walk(ruleset, "p", packet);
    const marked = mark & MARKS.accept ? "allow" : mark & MARKS.pass ? "pass" : "nothing";
    return { answer: verdict === "DROP" ? "deny" : marked, logged };
  },

  async forward(changes) {
    const kernel = await FilteringKernel.create();
    await kernel.commit(changes);
    return packet => {
      const { verdict, logged } = walk(kernel.ruleset(ipVersion(packet.source)), "FORWARD", packet);
      return { answer: verdict && (verdict === "ACCEPT" ? "allow" : "deny"), logged };
    };
  },
};

describe("felix/dataplane/iptables: verdicts", function () {
  this.timeout(60_000);
  itMeansTheModel(iptables);
});
