/**
 * The peers of the cluster's policies as ends of v3 rules.
 *
 * Nodes are peers too, which Calico does not know: what a node is to policy is a network set of its addresses
 * (kubernetes-nodes.ts), under the node's labels with a prefix that no pod can have, and a peer selects those sets.
 */

import type { EntityRule, LabelSelector } from "../../crd-schemas/index.ts";
import { type Cidr, cidrVersion, parseCidr } from "../../net/cidr.ts";
import { has } from "../selector/ast.ts";
import type { Fields } from "./fields.ts";
import { NODE_NAME_LABEL, NODE_PREFIX } from "./kubernetes-nodes.ts";
import {
  namespaceSelectorText,
  podSelectorText,
  prefixedSelectorText,
  readLabelSelector,
} from "./kubernetes-selectors.ts";

/** None where there is a problem with it. */
export function readIngressPeer(peer: Fields): EntityRule[] {
  const found = readWorkloads(peer);
  peer.end();
  return onlyOne(peer, found, "one of namespaces and pods");
}

/** A peer may become several ends: addresses of both IP versions do not fit into one rule. */
export function readEgressPeer(peer: Fields): EntityRule[] {
  const found = readWorkloads(peer);
  if (peer.value("nodes") !== undefined) found.push([nodeEntity(readLabelSelector(peer.object("nodes")))]);
  if (peer.value("networks") !== undefined) {
    const nets = peer.parsedList(
      "networks",
      value => parseCidr(String(value)),
      "a CIDR such as 10.0.0.0/8 or fd00::/64",
    );
    if (nets.length === 0) peer.problem(["networks"], "names no network", "at least one CIDR");
    found.push(
      [...Map.groupBy(nets, cidrVersion).values()].map((ofVersion: Cidr[]) => ({ nets: ofVersion })),
    );
  }
  if (peer.value("domainNames") !== undefined) {
    peer.problem(["domainNames"], "peers by DNS name are not supported", "networks");
    found.push([]);
  }
  peer.end();
  return onlyOne(peer, found, "one of namespaces, pods, nodes and networks");
}

function readWorkloads(peer: Fields): EntityRule[][] {
  const found: EntityRule[][] = [];
  if (peer.value("namespaces") !== undefined)
    found.push([podEntity(readLabelSelector(peer.object("namespaces")), undefined)]);
  if (peer.value("pods") !== undefined) {
    const pods = peer.object("pods");
    const namespaces = readLabelSelector(pods.object("namespaceSelector"));
    found.push([podEntity(namespaces, readLabelSelector(pods.object("podSelector")))]);
    pods.end();
  }
  return found;
}

function podEntity(namespaces: LabelSelector, pods: LabelSelector | undefined): EntityRule {
  return { selector: podSelectorText(pods), namespaceSelector: namespaceSelectorText(namespaces) };
}

/** What has a namespace is no node, whatever it calls itself. */
function nodeEntity(nodes: LabelSelector): EntityRule {
  return {
    selector: prefixedSelectorText(has(NODE_NAME_LABEL), nodes, NODE_PREFIX),
    namespaceSelector: "global()",
  };
}

function onlyOne(peer: Fields, found: readonly EntityRule[][], expected: string): EntityRule[] {
  if (found.length !== 1) peer.problem([], "selects nothing, or in several ways", expected);
  return found[0] ?? [];
}
