/** Changes in the kernel as events: the multicast forms of the messages that the other files here read. */

import type { IpVersion } from "../../net/ip.ts";
import { AddressMessageType, type LinkAddress, readAddress } from "./address.ts";
import { type Link, LinkMessageType, readLink } from "./link.ts";
import type { Message } from "./message.ts";
import {
  type ForwardingEntry,
  type Neighbour,
  NeighbourMessageType,
  readForwardingEntry,
  readNeighbour,
} from "./neighbour.ts";
import { type Route, RouteMessageType, readRoute } from "./route.ts";
import { type Rule, RuleMessageType, readRule } from "./rule.ts";
import { readDiscipline, readRedirect, TrafficControlMessageType } from "./traffic-control.ts";

/** `new` is sent for changes too: the value is what is there now. */
export type EventAction = "new" | "delete";

export type KernelEvent =
  | { readonly type: "link"; readonly action: EventAction; readonly link: Link }
  | { readonly type: "address"; readonly action: EventAction; readonly address: LinkAddress }
  | { readonly type: "route"; readonly action: EventAction; readonly route: Route }
  | { readonly type: "neighbour"; readonly action: EventAction; readonly neighbour: Neighbour }
  | { readonly type: "forwarding"; readonly action: EventAction; readonly entry: ForwardingEntry }
  | { readonly type: "rule"; readonly action: EventAction; readonly rule: Rule }
  /** Something about how the interface queues, shapes or redirects. */
  | { readonly type: "traffic-control"; readonly interfaceIndex: number }
  /** Events were lost. Whatever is read from the kernel from now on is newer than every lost one: read it all. */
  | { readonly type: "overflow" };

/** `neighbour` brings forwarding entries too. */
export type EventGroup = "link" | "address" | "route" | "neighbour" | "rule" | "traffic-control";

/** RTNLGRP_*; some have one for both versions. */
const GROUPS: Readonly<Record<EventGroup, Readonly<Record<IpVersion, number>>>> = {
  link: { 4: 1, 6: 1 },
  neighbour: { 4: 3, 6: 3 },
  "traffic-control": { 4: 4, 6: 4 },
  address: { 4: 5, 6: 9 },
  route: { 4: 7, 6: 11 },
  rule: { 4: 8, 6: 19 },
};

/** The multicast groups to join. */
export function multicastGroups(groups: readonly EventGroup[], family?: IpVersion): number[] {
  const versions: readonly IpVersion[] = family === undefined ? [4, 6] : [family];
  return [...new Set(groups.flatMap(group => versions.map(version => GROUPS[group][version])))];
}

/** Undefined for what comes with the groups and is of no interest (bridge ports, proxy entries). */
export function readEvent(message: Message): KernelEvent | undefined {
  switch (message.type) {
    case LinkMessageType.NEW:
    case LinkMessageType.DELETE: {
      const link = readLink(message);
      return link && { type: "link", action: message.type === LinkMessageType.NEW ? "new" : "delete", link };
    }
    case AddressMessageType.NEW:
    case AddressMessageType.DELETE: {
      const address = readAddress(message);
      const action = message.type === AddressMessageType.NEW ? "new" : "delete";
      return address && { type: "address", action, address };
    }
    case RouteMessageType.NEW:
    case RouteMessageType.DELETE: {
      const route = readRoute(message);
      return (
        route && { type: "route", action: message.type === RouteMessageType.NEW ? "new" : "delete", route }
      );
    }
    case NeighbourMessageType.NEW:
    case NeighbourMessageType.DELETE: {
      const action = message.type === NeighbourMessageType.NEW ? "new" : "delete";
      const neighbour = readNeighbour(message);
      if (neighbour) return { type: "neighbour", action, neighbour };
      const entry = readForwardingEntry(message);
      return entry && { type: "forwarding", action, entry };
    }
    case TrafficControlMessageType.NEW_QDISC:
    case TrafficControlMessageType.DELETE_QDISC:
    case TrafficControlMessageType.NEW_FILTER:
    case TrafficControlMessageType.DELETE_FILTER: {
      const interfaceIndex = (readDiscipline(message) ?? readRedirect(message))?.interfaceIndex;
      return interfaceIndex === undefined ? undefined : { type: "traffic-control", interfaceIndex };
    }
    case RuleMessageType.NEW:
    case RuleMessageType.DELETE: {
      const rule = readRule(message);
      return rule && { type: "rule", action: message.type === RuleMessageType.NEW ? "new" : "delete", rule };
    }
  }
  return undefined;
}
