/**
 * Shapes what workloads receive and send.
 *
 *   to the workload:    veth --(token bucket at its root)--> workload
 *   from the workload:  veth --(ingress: redirect)--> ifb `bwcali…` --(token bucket)--> the host, as if from the veth
 *
 * What comes in over an interface cannot be made to wait; an ifb device can, and gives the packets back to where they came
 * from. Policy sees them afterwards. The redirect goes up after its device and comes down before it, so that nothing is
 * led to where nobody is.
 *
 * The kernel does not say bursts exactly: a bucket whose burst we have not written ourselves is written again, which changes
 * it in place and loses nothing.
 */

import { createHash } from "node:crypto";
import type { Logger } from "../../../daemon/log.ts";
import type { KernelEvent } from "../../../linux/events.ts";
import type { Link, Rtnetlink } from "../../../linux/rtnetlink.ts";
import {
  Parent,
  type QueueingDiscipline,
  type TokenBucket,
  type TrafficControl,
} from "../../../linux/traffic-control.ts";
import type { Changes } from "../../calc/changes.ts";
import type { QosControls } from "../../calc/qos.ts";
import type { KernelPart } from "../kernel-part.ts";
import { satisfies, tokenBucket } from "./token-bucket.ts";

const IFB_PREFIX = "bwcali";
const MAX_NAME = 15;
/** `ca1:`, by which we know our own: others shape workloads too, as the bandwidth plugin of CNI does with `1:`. */
const HANDLE = 0x0ca10000;

export interface BandwidthOptions {
  readonly rtnetlink: Pick<Rtnetlink, "listLinks" | "getLink" | "createPlainLink" | "setLink" | "deleteLink">;
  readonly trafficControl: Pick<
    TrafficControl,
    | "listDisciplines"
    | "replaceTokenBucket"
    | "deleteRootDiscipline"
    | "listRedirects"
    | "addRedirect"
    | "deleteIngress"
  >;
  readonly interfacePrefix: readonly string[];
  readonly logger: Logger;
}

export class Bandwidth implements KernelPart {
  readonly #options: BandwidthOptions;
  /** Interface names by endpoint. */
  readonly #interfaces = new Map<string, string>();
  /** Limits by interface name; those without any are not in here. */
  readonly #limits = new Map<string, QosControls>();
  /** Workloads' interfaces and our ifb devices, by name. */
  readonly #links = new Map<string, Link>();
  readonly #names = new Map<number, string>();
  /** By interface index: what we wrote. */
  readonly #written = new Map<number, TokenBucket>();
  /** Names of workloads' interfaces to look at. */
  readonly #dirty = new Set<string>();
  #swept = false;
  #leftoversDirty = false;
  #reported = "";

  constructor(options: BandwidthOptions) {
    this.#options = options;
  }

  get pending(): boolean {
    return this.#dirty.size > 0 || this.#leftoversDirty;
  }

  update({ endpoints }: Changes): void {
    // Those that go first: an interface may pass from one endpoint to another.
    for (const id of endpoints.keys()) {
      const name = this.#interfaces.get(id);
      this.#interfaces.delete(id);
      if (name !== undefined && this.#limits.delete(name)) this.#dirty.add(name);
    }
    for (const [id, endpoint] of endpoints) {
      const { qos, interfaceName } = endpoint ?? {};
      if (interfaceName === undefined) continue;
      this.#interfaces.set(id, interfaceName);
      if (!qos || (qos.ingress.bandwidth === undefined && qos.egress.bandwidth === undefined)) continue;
      this.#limits.set(interfaceName, qos);
      this.#dirty.add(interfaceName);
    }
  }

  applyRemovals(): void {
    // What is shaped a moment too long harms nobody.
  }

  applyAdditions(): void {
    if (!this.pending) return;
    try {
      const disciplines = this.#options.trafficControl.listDisciplines();
      if (this.#leftoversDirty && this.#swept) this.#findLeftovers(disciplines);
      const roots = new Map(
        disciplines
          .filter(({ parent }) => parent === Parent.ROOT)
          .map(discipline => [discipline.interfaceIndex, discipline]),
      );
      for (const name of this.#dirty) {
        this.#shape(name, roots);
        this.#dirty.delete(name);
      }
      this.#leftoversDirty = false;
      this.#reported = "";
    } catch (error) {
      // An interface may vanish at any moment: then its next event brings us back, and else the next try.
      const { message } = error as Error;
      if (message !== this.#reported)
        this.#options.logger.warn({ err: error }, "could not limit the bandwidth of workloads, trying again");
      this.#reported = message;
    }
  }

  sweep(): void {
    this.#swept = true;
    this.#leftoversDirty = true;
  }

  noteEvents(events: readonly KernelEvent[]): boolean {
    for (const event of events) {
      if (event.type === "overflow") this.resync();
      else if (event.type === "link") this.#noteLink(event.link, event.action === "new");
      else if (event.type === "traffic-control") this.#touch(this.#names.get(event.interfaceIndex));
    }
    return this.pending;
  }

  resync(): void {
    const links = this.#options.rtnetlink.listLinks();
    this.#links.clear();
    this.#names.clear();
    for (const link of links) this.#noteLink(link, true);
    for (const name of this.#limits.keys()) this.#dirty.add(name);
    this.#leftoversDirty = true;
  }

  #noteLink(link: Link, present: boolean): void {
    const former = this.#names.get(link.index);
    if (former !== undefined && (!present || former !== link.name)) {
      this.#names.delete(link.index);
      if (this.#links.get(former)?.index === link.index) this.#links.delete(former);
      this.#touch(former);
    }
    if (!present) this.#written.delete(link.index);
    else if (this.#isWorkload(link.name) || isIfb(link)) {
      const known = this.#links.get(link.name);
      this.#links.set(link.name, link);
      this.#names.set(link.index, link.name);
      if (known?.index !== link.index || known.up !== link.up || known.mtu !== link.mtu)
        this.#touch(link.name);
    }
  }

  /** An interface, or the ifb device of one. */
  #touch(name: string | undefined): void {
    if (name === undefined) return;
    if (this.#limits.has(name)) this.#dirty.add(name);
    else if (name.startsWith(IFB_PREFIX))
      for (const limited of this.#limits.keys()) if (ifbName(limited) === name) this.#dirty.add(limited);
  }

  #isWorkload(name: string): boolean {
    return this.#options.interfacePrefix.some(prefix => name.startsWith(prefix));
  }

  #shape(name: string, roots: ReadonlyMap<number, QueueingDiscipline>): void {
    const { rtnetlink, trafficControl } = this.#options;
    const link = this.#links.get(name);
    const limits = this.#limits.get(name);
    const ifb = this.#links.get(ifbName(name));
    if (!link) {
      if (ifb) rtnetlink.deleteLink(ifb.index);
      return;
    }
    this.#setBucket(link, limits && tokenBucket(limits.ingress, link.mtu), roots);
    const egress = limits && tokenBucket(limits.egress, link.mtu);
    if (egress) this.#redirect(link, this.#ensureIfb(name, link.mtu, egress, roots));
    else if (ifb) {
      trafficControl.deleteIngress(link.index);
      rtnetlink.deleteLink(ifb.index);
    }
  }

  #setBucket(
    { index }: Link,
    wanted: TokenBucket | undefined,
    roots: ReadonlyMap<number, QueueingDiscipline>,
  ): void {
    const { trafficControl } = this.#options;
    const root = roots.get(index);
    if (!wanted) {
      this.#written.delete(index);
      if (root && isOurs(root)) trafficControl.deleteRootDiscipline(index);
      return;
    }
    const written = this.#written.get(index);
    const isRight =
      root?.tokenBucket !== undefined &&
      satisfies(root.tokenBucket, wanted) &&
      written?.burst === wanted.burst &&
      written.peakBurst === wanted.peakBurst;
    if (isRight) return;
    trafficControl.replaceTokenBucket(index, HANDLE, wanted);
    this.#written.set(index, wanted);
  }

  #ensureIfb(
    name: string,
    mtu: number,
    bucket: TokenBucket,
    roots: ReadonlyMap<number, QueueingDiscipline>,
  ): Link {
    const { rtnetlink } = this.#options;
    const ifb = ifbName(name);
    let link = rtnetlink.getLink(ifb);
    if (!link) {
      rtnetlink.createPlainLink({ kind: "ifb", name: ifb, mtu, txQueues: 1 });
      link = rtnetlink.getLink(ifb) as Link;
    }
    if (link.mtu !== mtu) rtnetlink.setLink(link.index, { mtu });
    this.#setBucket(link, bucket, roots);
    if (!link.up) rtnetlink.setLink(link.index, { up: true });
    this.#noteLink({ ...link, mtu, up: true }, true);
    return link;
  }

  #redirect(link: Link, ifb: Link): void {
    const { trafficControl } = this.#options;
    const [first, ...others] = trafficControl.listRedirects(link.index);
    if (first?.target === ifb.index && others.length === 0) return;
    trafficControl.deleteIngress(link.index);
    trafficControl.addRedirect(link.index, ifb.index);
  }

  /** Of an earlier run, and of interfaces that are gone. */
  #findLeftovers(disciplines: readonly QueueingDiscipline[]): void {
    const { rtnetlink } = this.#options;
    const wanted = new Set([...this.#limits.keys()].map(ifbName));
    const owners = new Map([...this.#links.keys()].map(name => [ifbName(name), name]));
    for (const discipline of disciplines) {
      const name = this.#names.get(discipline.interfaceIndex);
      if (name !== undefined && isOurs(discipline) && this.#isWorkload(name)) this.#dirty.add(name);
    }
    for (const link of [...this.#links.values()]) {
      if (!isIfb(link) || wanted.has(link.name)) continue;
      const owner = owners.get(link.name);
      if (owner !== undefined) this.#dirty.add(owner);
      else rtnetlink.deleteLink(link.index);
    }
  }
}

/** 15 characters, which is all an interface's name may have. */
export function ifbName(interfaceName: string): string {
  const digest = createHash("sha1").update(interfaceName).digest("hex");
  return `${IFB_PREFIX}${digest}`.slice(0, MAX_NAME);
}

function isIfb({ name, kind }: Link): boolean {
  return kind === "ifb" && name.startsWith(IFB_PREFIX);
}

function isOurs({ kind, handle, parent }: QueueingDiscipline): boolean {
  return kind === "tbf" && handle === HANDLE && parent === Parent.ROOT;
}
