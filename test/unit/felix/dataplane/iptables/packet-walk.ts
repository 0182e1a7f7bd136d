/**
 * What a packet meets in rendered iptables rules: their meaning, written down a second time and as strictly as the
 * programs read them. Knows what felix uses, and throws at anything else, also at what iptables would refuse: a port
 * match without a protocol, two nets for one end, a set that does not exist.
 */

import { splitWords } from "../../../../../felix/iptables-ts/index.ts";
import { cidr, contains } from "../../../../../net/cidr.ts";
import { type Ip, ipVersion } from "../../../../../net/ip.ts";

export interface WalkingPacket {
  readonly inInterface?: string;
  readonly outInterface?: string;
  readonly source: Ip;
  readonly destination: Ip;
  /** The number. */
  readonly protocol: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly icmp?: { readonly type: number; readonly code: number };
  readonly state?: "NEW" | "ESTABLISHED" | "RELATED" | "INVALID" | "UNTRACKED";
}

export interface Ruleset {
  /** Rules as the words after `-A CHAIN`. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
  readonly sets: ReadonlyMap<string, { readonly members: ReadonlySet<string> }>;
}

export interface Walk {
  /** Undefined: the first chain came to its end. */
  readonly verdict: "ACCEPT" | "DROP" | undefined;
  readonly mark: number;
  readonly logged: number;
  /** No connection is kept for it. */
  readonly untracked: boolean;
}

const PROTOCOLS: Readonly<Record<string, number>> = {
  icmp: 1,
  tcp: 6,
  udp: 17,
  icmpv6: 58,
  sctp: 132,
  udplite: 136,
};

export function walk(ruleset: Ruleset, chain: string, packet: WalkingPacket, mark = 0): Walk {
  const state = { mark, logged: 0, untracked: false };
  const verdict = runChain(ruleset, chain, packet, state, 0);
  return { verdict, ...state };
}

interface State {
  mark: number;
  logged: number;
  untracked: boolean;
}

function runChain(
  ruleset: Ruleset,
  name: string,
  packet: WalkingPacket,
  state: State,
  depth: number,
): Walk["verdict"] {
  if (depth > 15) throw new Error(`chains call each other too deep: ${name}`);
  const rules = ruleset.chains.get(name);
  if (!rules) throw new Error(`no chain ${name}`);
  for (const text of rules) {
    const { matches, target, words, goes } = readRule(ruleset, text, packet, state);
    if (!matches) continue;
    switch (target) {
      case undefined:
        break;
      case "ACCEPT":
        return "ACCEPT";
      case "DROP":
      case "REJECT":
        return "DROP";
      case "RETURN":
        return undefined;
      case "LOG":
        state.logged++;
        break;
      case "CT":
        state.untracked = true;
        break;
      case "MARK": {
        const [value = 0, mask = 0] = (words[words.indexOf("--set-xmark") + 1] ?? "").split("/").map(Number);
        state.mark = (((state.mark & ~mask) ^ value) >>> 0) as number;
        break;
      }
      default: {
        const verdict = runChain(ruleset, target, packet, state, depth + 1);
        if (verdict !== undefined || goes) return verdict;
      }
    }
  }
  return undefined;
}

/** Reads the whole rule even where the first match says no: everything in it has to make sense. */
function readRule(ruleset: Ruleset, text: string, packet: WalkingPacket, { mark }: State) {
  const words = splitWords(text);
  const seen = new Set<string>();
  const once = (option: string) => {
    if (seen.has(option)) throw new Error(`multiple ${option} in: ${text}`);
    seen.add(option);
  };
  let protocol: number | undefined;
  let matches = true;
  let not = false;
  const match = (holds: boolean) => {
    matches &&= holds !== not;
    not = false;
  };
  let i = 0;
  const next = (): string => {
    const word = words[i++];
    if (word === undefined) throw new Error(`ends too early: ${text}`);
    return word;
  };
  while (i < words.length) {
    const word = next();
    switch (word) {
      case "!":
        not = true;
        break;
      case "-m":
        next();
        break;
      case "--comment":
        next();
        break;
      case "-i":
        once(word);
        match(isInterface(next(), packet.inInterface));
        break;
      case "-o":
        once(word);
        match(isInterface(next(), packet.outInterface));
        break;
      case "-p": {
        once(word);
        const name = next();
        const number = PROTOCOLS[name] ?? Number(name);
        if (!not) protocol = number;
        match(number === packet.protocol);
        break;
      }
      case "-s":
        once(word);
        match(isInNet(next(), packet.source));
        break;
      case "-d":
        once(word);
        match(isInNet(next(), packet.destination));
        break;
      case "--source-ports":
        match(hasPort(protocol, next(), packet.sourcePort, text));
        break;
      case "--destination-ports":
        match(hasPort(protocol, next(), packet.destinationPort, text));
        break;
      case "--match-set":
        match(isInSet(ruleset, next(), next(), packet));
        break;
      case "--mark": {
        const [value = 0, mask = 0] = next().split("/").map(Number);
        match((mark & mask) >>> 0 === value);
        break;
      }
      case "--ctstate":
        match(
          next()
            .split(",")
            .includes(packet.state ?? "NEW"),
        );
        break;
      case "--validmark":
      case "--invert":
        // Whoever sends here sends from where he is.
        match(word === "--validmark");
        break;
      case "--icmp-type":
      case "--icmpv6-type": {
        const needed = word === "--icmp-type" ? PROTOCOLS["icmp"] : PROTOCOLS["icmpv6"];
        if (protocol !== needed) throw new Error(`${word} without its protocol: ${text}`);
        const [type, code] = next().split("/").map(Number);
        match(packet.icmp?.type === type && (code === undefined || packet.icmp?.code === code));
        break;
      }
      case "-j":
      case "-g":
        return { matches, target: next(), words, goes: word === "-g" };
      default:
        throw new Error(`what is ${word} in: ${text}`);
    }
  }
  return { matches, target: undefined, words, goes: false };
}

function isInterface(pattern: string, name: string | undefined): boolean {
  if (pattern.endsWith("+")) return name?.startsWith(pattern.slice(0, -1)) ?? false;
  return name === pattern;
}

function isInNet(net: string, address: Ip): boolean {
  const block = cidr(net);
  if (block.includes(":") !== address.includes(":")) throw new Error(`${net} in a table for ${address}`);
  return contains(block, address);
}

function hasPort(
  protocol: number | undefined,
  list: string,
  port: number | undefined,
  text: string,
): boolean {
  if (![6, 17, 132, 136].includes(protocol ?? 0))
    throw new Error(`ports without a protocol that has some: ${text}`);
  const ranges = list.split(",").map(item => item.split(":").map(Number));
  if (ranges.reduce((slots, range) => slots + range.length, 0) > 15)
    throw new Error(`too many ports: ${text}`);
  return port !== undefined && ranges.some(([low = 0, high = low]) => low <= port && port <= high);
}

function isInSet({ sets }: Ruleset, name: string, direction: string, packet: WalkingPacket): boolean {
  const set = sets.get(name);
  if (!set) throw new Error(`no set ${name}`);
  const ends = direction.split(",");
  const address = ends[0] === "src" ? packet.source : packet.destination;
  const port = ends[1] === "src" ? packet.sourcePort : packet.destinationPort;
  for (const member of set.members) {
    const [net = "", protocolPort] = member.split(",");
    if ((protocolPort !== undefined) !== ends.length > 1) throw new Error(`${member} asked as ${direction}`);
    const block = cidr(net);
    if (block.includes(":") !== (ipVersion(address) === 6) || !contains(block, address)) continue;
    if (protocolPort === undefined) return true;
    const [protocol = "", wanted] = protocolPort.split(":");
    if ((PROTOCOLS[protocol] ?? Number(protocol)) === packet.protocol && Number(wanted) === port) return true;
  }
  return false;
}
