import { allocateMarks } from "../../../../../felix/dataplane/marks.ts";
import {
  addressPortElements,
  addressPortSet,
} from "../../../../../felix/dataplane/nftables/address-port-set.ts";
import { AddressSet } from "../../../../../felix/dataplane/nftables/kept-set.ts";
import { setName } from "../../../../../felix/dataplane/nftables/names.ts";
import { policyRules } from "../../../../../felix/dataplane/nftables/policy-chains.ts";
import { sharedChains } from "../../../../../felix/dataplane/nftables/static-chains.ts";
import { ipVersion } from "../../../../../net/ip.ts";
import { itJudgesHosts, type WalkedHost } from "../host-verdict-properties.ts";
import { itMeansTheModel, type WalkedDataplane } from "../verdict-properties.ts";
import { walk } from "./packet-walk.ts";
import { configOf, RememberedFilter, RememberedTable } from "./table.ts";

const MARKS = allocateMarks(0xffff0000);

/** On a table that only remembers. */
const nftables: WalkedDataplane = {
  policy: (policy, direction, sets) => packet => {
    const version = ipVersion(packet.source);
    const context = { version, marks: MARKS, config: configOf(), layer: "filter" } as const;
    const table = new RememberedTable();
    for (const [name, content] of sharedChains(context)) table.setChain(name, content);
    table.setChain("p", { rules: policyRules(policy, direction, context) });
    for (const [id, members] of sets) {
      const name = setName(version, id);
      const isPorts = [...members].some(member => member.includes(","));
      const set = isPorts ? addressPortSet(name, version) : new AddressSet(name, version);
      if (set instanceof AddressSet) set.replace(members);
      else set.replace(addressPortElements(members, version));
      table.addSet(set);
    }
    const { verdict, mark, logged } = walk(table.walked, "p", packet);
    const marked = mark & MARKS.accept ? "allow" : mark & MARKS.pass ? "pass" : "nothing";
    return { answer: verdict === "drop" ? "deny" : marked, logged };
  },

  async forward(changes) {
    const filter = new RememberedFilter().update(changes);
    return packet => {
      const { verdict, logged } = filter.through(packet, "filter-FORWARD");
      return { answer: verdict && (verdict === "accept" ? "allow" : "deny"), logged };
    };
  },
};

const HOOKS = {
  in: ["raw-PREROUTING", "mangle-PREROUTING", "filter-INPUT"],
  out: ["raw-OUTPUT", "filter-OUTPUT", "mangle-POSTROUTING"],
  through: ["raw-PREROUTING", "mangle-PREROUTING", "filter-FORWARD", "mangle-POSTROUTING"],
} as const;

const host: WalkedHost = {
  create(changes, values) {
    const filter = new RememberedFilter(values).update(changes);
    return (packet, way, ownAddresses) =>
      filter.through({ ...packet, ownAddresses }, ...HOOKS[way]).verdict === "drop" ? "deny" : "allow";
  },
};

describe("felix/dataplane/nftables: verdicts", function () {
  this.timeout(60_000);
  itMeansTheModel(nftables);
  itJudgesHosts(host);
});
