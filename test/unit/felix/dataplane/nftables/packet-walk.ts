/**
 * What a packet meets in our nftables rules: the kernel's machine of registers and expressions, written down a second
 * time. A packet is bytes here, so that offsets and lengths are put to the test as well. Knows what felix uses, and throws at
 * anything else, also at what the kernel would refuse: a chain or set that does not exist, a lookup of another length than
 * the set's key.
 */

import type { TableRule } from "../../../../../felix/dataplane/nftables/rule.ts";
import type { CT_KEYS, Expression, Register, Verdict } from "../../../../../linux/nf-tables/expression.ts";
import { DATA_TYPES, type Element, type NftSet } from "../../../../../linux/nf-tables/model.ts";
import { type Ip, ipToBytes, ipVersion } from "../../../../../net/ip.ts";
import type { WalkingPacket } from "../iptables/packet-walk.ts";

export interface WalkedTable {
  readonly chains: ReadonlyMap<string, { readonly rules: readonly TableRule[] }>;
  readonly sets: ReadonlyMap<string, { readonly set: NftSet; readonly elements: readonly Element[] }>;
}

/** What nftables adds to a packet's properties. */
export interface NftPacket extends WalkingPacket {
  /** Its destination was translated. */
  readonly translated?: boolean;
  /** By which interface the way back to its source leads; default: the one it came in by. */
  readonly wayBack?: string;
  /** Whose addresses are the host's own. */
  readonly ownAddresses?: readonly Ip[];
}

export interface Walk {
  /** Undefined: the first chain came to its end. */
  readonly verdict: "accept" | "drop" | undefined;
  readonly mark: number;
  readonly logged: number;
  /** Prefixes written for the flow log. */
  readonly flows: readonly string[];
  readonly untracked: boolean;
  /** Of rules whose counter was passed. */
  readonly comments: readonly string[];
}

export function walk(table: WalkedTable, chain: string, packet: NftPacket, mark = 0): Walk {
  const machine = new Machine(table, packet, mark);
  const verdict = machine.run(chain, 0);
  return { ...machine.seen, verdict: verdict === "return" ? undefined : verdict, mark: machine.mark };
}

type End = "accept" | "drop" | "return";

class Machine {
  readonly #table: WalkedTable;
  readonly #packet: NftPacket;
  readonly #network: Buffer;
  readonly #transport: Buffer;
  readonly #registers = Buffer.alloc(80);
  mark: number;
  readonly seen = {
    logged: 0,
    flows: [] as string[],
    untracked: false,
    comments: [] as string[],
  };

  constructor(table: WalkedTable, packet: NftPacket, mark: number) {
    this.#table = table;
    this.#packet = packet;
    this.mark = mark;
    this.#network = networkHeader(packet);
    this.#transport = transportHeader(packet);
  }

  run(name: string, depth: number): End {
    if (depth > 15) throw new Error(`chains call each other too deep: ${name}`);
    const chain = this.#table.chains.get(name);
    if (!chain) throw new Error(`no chain ${name}`);
    for (const rule of chain.rules) {
      const verdict = this.#rule(rule);
      if (verdict === undefined || verdict === "continue") continue;
      if (typeof verdict === "string") return verdict;
      if ("goto" in verdict) return this.run(verdict.goto, depth + 1);
      const end = this.run(verdict.jump, depth + 1);
      if (end !== "return") return end;
    }
    return "return";
  }

  #rule({ expressions, comment }: TableRule): Verdict | undefined {
    this.#registers.fill(0);
    for (const expression of expressions) {
      const result = this.#expression(expression);
      if (result === "counter") this.seen.comments.push(comment ?? "");
      else if (result === false) return undefined;
      else if (result !== true) return result;
    }
    return undefined;
  }

  /** True: go on; false: the rule does not match. */
  #expression(expression: Expression): boolean | Verdict | "counter" {
    switch (expression.kind) {
      case "meta":
        return this.#load(expression.to, this.#meta(expression.key));
      case "meta-set":
        if (expression.key !== "mark") throw new Error(`sets ${expression.key}`);
        this.mark = this.#registers.readUInt32LE(offsetOf(expression.from));
        return true;
      case "payload": {
        const header = expression.base === "network" ? this.#network : this.#transport;
        const { offset, length } = expression;
        if (offset + length > header.length) return false;
        return this.#load(expression.to, header.subarray(offset, offset + length));
      }
      case "ct":
        return this.#load(expression.to, this.#connection(expression.key));
      case "fib":
        return this.#load(expression.to, this.#route(expression.result, expression.flags));
      case "cmp":
        return compare(expression.op, this.#read(expression.register, expression.data), expression.data);
      case "range": {
        const value = this.#read(expression.register, expression.low);
        const inside = expression.low <= value && value <= expression.high;
        return inside === (expression.op === "eq");
      }
      case "bitwise": {
        const value = Buffer.from(this.#read(expression.from, expression.mask), "hex");
        const [mask, xor] = [Buffer.from(expression.mask, "hex"), Buffer.from(expression.xor, "hex")];
        return this.#load(expression.to, Buffer.from(value.map((byte, i) => (byte & mask[i]!) ^ xor[i]!)));
      }
      case "lookup":
        return this.#lookup(expression);
      case "immediate":
        return this.#load(expression.to, Buffer.from(expression.data, "hex"));
      case "counter":
        return "counter";
      case "limit":
      case "connlimit":
        // Nobody is in a hurry here.
        return !expression.over;
      case "log":
        if (expression.group === undefined) this.seen.logged++;
        else this.seen.flows.push(`${expression.group} ${expression.prefix}`);
        return true;
      case "notrack":
        this.seen.untracked = true;
        return true;
      case "reject":
        return "drop";
      case "verdict":
        return expression.verdict;
      default:
        throw new Error(`no walk through ${JSON.stringify(expression)}`);
    }
  }

  #lookup({ set: name, from, to, invert }: Extract<Expression, { kind: "lookup" }>): boolean | Verdict {
    const found = this.#table.sets.get(name);
    if (!found) throw new Error(`no set ${name}`);
    const length = lengthOf(found.set);
    const start = offsetOf(from);
    const key = this.#registers.subarray(start, start + length).toString("hex");
    const element = found.elements.find(one => one.key <= key && key <= (one.keyEnd ?? one.key));
    if (found.elements[0] && found.elements[0].key.length !== 2 * length)
      throw new Error(`keys of ${name} are not of its type`);
    if (to === undefined) return (element !== undefined) !== invert;
    if (!element) return to === 0 ? "continue" : false;
    if (to === 0) return element.verdict as Verdict;
    return this.#load(to, Buffer.from(element.data as string, "hex"));
  }

  #meta(key: string): Buffer {
    const { protocol, inInterface = "", outInterface = "" } = this.#packet;
    const name = (text: string) => Buffer.from(text.padEnd(16, "\0"));
    if (key === "mark") return u32(this.mark);
    if (key === "l4proto") return Buffer.of(protocol);
    if (key === "iifname") return name(inInterface);
    if (key === "oifname") return name(outInterface);
    throw new Error(`meta ${key}`);
  }

  #connection(key: keyof typeof CT_KEYS): Buffer {
    const { state = "NEW", translated = false } = this.#packet;
    if (key === "state") return u32({ INVALID: 1, ESTABLISHED: 2, RELATED: 4, NEW: 8, UNTRACKED: 64 }[state]);
    if (key === "status") return u32(translated ? 1 << 5 : 0);
    throw new Error(`ct ${key}`);
  }

  #route(result: string, flags: number): Buffer {
    const { source, destination, inInterface, wayBack, ownAddresses = [] } = this.#packet;
    if (result === "oif") return u32((wayBack ?? inInterface) === inInterface ? 1 : 0);
    const address = flags & 1 ? source : destination;
    return u32(ownAddresses.includes(address) ? 2 : 1);
  }

  /** Registers are filled by four bytes, the rest of the last with zeros. */
  #load(register: Register, value: Buffer): true {
    const start = offsetOf(register);
    this.#registers.fill(0, start, start + Math.ceil(value.length / 4) * 4);
    value.copy(this.#registers, start);
    return true;
  }

  /** As many bytes as `like` has. */
  #read(register: Register, like: string): string {
    const start = offsetOf(register);
    return this.#registers.subarray(start, start + like.length / 2).toString("hex");
  }
}

/** 1 to 4 are of 16 bytes; 8 and up are of four, in the same place. */
const offsetOf = (register: Register) => (register <= 4 ? 16 * register : 16 + 4 * (register - 8));

function lengthOf({ key }: NftSet): number {
  const lengths = key.map(type => DATA_TYPES[type].length);
  if (lengths.length === 1) return lengths[0] as number;
  return lengths.reduce((sum: number, length) => sum + Math.ceil(length / 4) * 4, 0);
}

function compare(op: string, value: string, data: string): boolean {
  if (op === "eq") return value === data;
  if (op === "neq") return value !== data;
  throw new Error(`cmp ${op}`);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

function networkHeader({ source, destination }: NftPacket): Buffer {
  const addresses = [...ipToBytes(source), ...ipToBytes(destination)];
  return Buffer.from([...new Array(ipVersion(source) === 4 ? 12 : 8).fill(0), ...addresses]);
}

function transportHeader({ icmp, sourcePort, destinationPort }: NftPacket): Buffer {
  const bytes = Buffer.alloc(8);
  if (icmp) {
    bytes[0] = icmp.type;
    bytes[1] = icmp.code;
  } else {
    bytes.writeUInt16BE(sourcePort ?? 0, 0);
    bytes.writeUInt16BE(destinationPort ?? 0, 2);
  }
  return bytes;
}
