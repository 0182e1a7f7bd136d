/**
 * The routes of one neighbor: what it sends becomes one source of the routing table, what it is sent goes to one member per family.
 * Sessions come and go; the source stays, and over a graceful restart its routes do too (restart-helper.ts).
 */

import { familyOfAddress, parseRouterId } from "../address.ts";
import { MessageError } from "../errors.ts";
import { afiSafiOf, familyOf, RefreshSubtype } from "../message/constants.ts";
import type { RouteRefreshMessage } from "../message/route-refresh.ts";
import { decodeUpdate, type Update } from "../message/update.ts";
import type { UpdateScanContext } from "../message/update-scanner.ts";
import type { NeighborStatus, PrefixCounters, ProblemCounters } from "../neighbor.ts";
import type { ExportRule } from "../rib/exporter.ts";
import type { ImportContext } from "../rib/import.ts";
import type { Importer } from "../rib/importer.ts";
import type { Member } from "../rib/update-group.ts";
import { FAMILIES, Family, type ReceivedRoute, type Route } from "../route.ts";
import type { ConnectionEnd } from "./connection-fsm.ts";
import type { Negotiated } from "./negotiation.ts";
import type { NeighborConfig } from "./neighbor-config.ts";
import type { PeerEnvironment } from "./peer-environment.ts";
import { PrefixLimit } from "./prefix-limit.ts";
import { RefreshAnswers } from "./refresh-answers.ts";
import { RefreshReceiver } from "./refresh-receiver.ts";
import { RestartHelper } from "./restart-helper.ts";
import type { Session } from "./session.ts";

/** How what the neighbor sends is read and taken, as long as session and settings stay as they are. */
interface ReadingTerms {
  readonly importer: Importer;
  readonly context: UpdateScanContext;
  /** By AFI: announcements of the family count. */
  readonly isTaken: readonly boolean[];
  /** By AFI: prefixes have path identifiers. */
  readonly addPath: readonly boolean[];
}

export class PeerRoutes {
  readonly #env: PeerEnvironment;
  #config: NeighborConfig;
  readonly #source: number;
  readonly #helper: RestartHelper;
  readonly #refreshes: RefreshReceiver;
  #answers: RefreshAnswers | undefined;
  #session: Session | undefined;
  #reading: ReadingTerms | undefined;
  #members = new Map<Family, Member>();
  readonly #disabledFamilies = new Set<Family>();
  /** Families whose End-of-RIB has come in this session. */
  readonly #complete = new Set<Family>();
  readonly #limit: PrefixLimit;
  readonly #problems = { withdraw: 0, discard: 0, disableFamily: 0 };

  constructor(env: PeerEnvironment, config: NeighborConfig, addressBytes: Uint8Array) {
    this.#env = env;
    this.#config = config;
    this.#source = env.table.sources.add({
      type: config.type,
      address: config.address,
      addressBytes,
      reflectorClient: config.reflectorClient,
      routerId: 0,
    }).index;
    const { clock, table } = env;
    this.#helper = new RestartHelper(clock, table, this.#source, env.resyncTime * 1000);
    this.#refreshes = new RefreshReceiver(clock, table, this.#source);
    this.#limit = new PrefixLimit(config.maxPrefixes);
  }

  /** Its routes outlive its sessions, on our side. */
  keepsRoutes({ gracefulRestart, longLived }: Negotiated): boolean {
    if (this.#config.gracefulRestartTime === 0 || gracefulRestart === undefined) return false;
    if (gracefulRestart.restartTime > 0 && gracefulRestart.families.size > 0) return true;
    return [...(longLived?.values() ?? [])].some(({ staleTime }) => staleTime > 0);
  }

  established(session: Session, negotiated: Negotiated): void {
    const { table } = this.#env;
    this.#session = session;
    this.#disabledFamilies.clear();
    this.#reading = this.#readingTerms(session);
    this.#complete.clear();
    this.#limit.forget();
    table.updateSource(this.#source, { routerId: parseRouterId(negotiated.remoteRouterId)! });
    this.#helper.onReturn(negotiated);
    const answers = this.#answerRefreshes(session, negotiated);
    for (const family of negotiated.families) {
      const member: Member = {
        source: this.#source,
        get writableLength() {
          return session.writableLength;
        },
        sendUpdates: (bytes, messages) => session.sendUpdates(bytes, messages),
        caughtUp: () => answers.caughtUp(family),
      };
      this.#members.set(family, member);
      table.join(member, family, this.#exportRule(session, family));
    }
    const { reflectorClient, address } = this.#config;
    const awaited = negotiated.gracefulRestart;
    // Two that restart do not wait for each other, except a reflector for its client: the others have the client's routes from the
    // reflector alone, and its End-of-RIB would take them away. The client does not wait in turn.
    const isAwaited = awaited !== undefined && (!awaited.restarting || reflectorClient);
    this.#env.deferral()?.established(address, isAwaited ? awaited.families.keys() : []);
  }

  /** The session the routes came and went by is over. */
  lost(negotiated: Negotiated, end: ConnectionEnd): void {
    this.#session = undefined;
    this.#answers?.stop();
    this.#refreshes.stop();
    this.#reading = undefined;
    for (const [family, member] of this.#members) this.#env.table.leave(member, family);
    this.#members = new Map();
    this.#env.deferral()?.lost(this.#config.address);
    const mayReturn = end.graceful && this.keepsRoutes(negotiated);
    this.#helper.onLost(negotiated, mayReturn, this.#config.longLivedStaleTime);
  }

  /** Nobody is expected back: what was kept goes. */
  drop(): void {
    this.#helper.drop();
  }

  /** For ever: nothing of it stays in the routing table. */
  remove(): void {
    for (const family of FAMILIES) this.#env.table.removeAll(this.#source, family, "all");
    this.#env.table.releaseSource(this.#source);
  }

  /** The body of an UPDATE is `bytes` from `start` to `end`. Throws {@link MessageError} where the session must end. */
  update(session: Session, bytes: Uint8Array, start: number, end: number): void {
    const { table } = this.#env;
    const { scanner } = table;
    const { context, importer, isTaken, addPath } = this.#reading!;
    table.received();
    if (!scanner.scan(bytes, start, end, context)) {
      this.#unusualUpdate(decodeUpdate(bytes.subarray(start, end), session.negotiated!), importer);
      return;
    }
    importer.scanned(scanner, bytes, isTaken, addPath);
    if (scanner.announces)
      this.#checkLimit(scanner.attributes.reachAfi === 2 ? Family.ipv6Unicast : Family.ipv4Unicast);
    if (scanner.endOfRibAfi !== 0) this.#onEndOfRib(familyOf(scanner.endOfRibAfi, 1)!);
  }

  #unusualUpdate(update: Update, importer: Importer): void {
    const { families } = this.#session!.negotiated!;
    importer.decoded(update, family => families.includes(family) && !this.#disabledFamilies.has(family));
    if (update.problems.length > 0) this.#onProblems(update);
    for (const { nlri } of update.announced) this.#checkLimit(nlri.family);
    if (update.endOfRib !== undefined) this.#onEndOfRib(update.endOfRib);
  }

  routeRefresh(session: Session, { afi, safi, subtype }: RouteRefreshMessage): void {
    const family = familyOf(afi, safi);
    if (family === undefined) return;
    const negotiated = session.negotiated!;
    if (subtype === RefreshSubtype.request) this.#answers?.request(family);
    else if (!negotiated.enhancedRefresh || !negotiated.families.includes(family)) return;
    else if (subtype === RefreshSubtype.end) this.#refreshes.end(family);
    else if (subtype === RefreshSubtype.begin) {
      // RFC 7313 4: before the End-of-RIB everything is new, and stale is what is left of the session before.
      const isFirst = negotiated.gracefulRestart !== undefined && !this.#complete.has(family);
      if (!isFirst) this.#refreshes.begin(family);
    }
  }

  reconfigure(config: NeighborConfig): void {
    const before = this.#config;
    this.#config = config;
    this.#limit.change(config.maxPrefixes);
    const { type, reflectorClient } = config;
    this.#env.table.updateSource(this.#source, { type, reflectorClient });
    const session = this.#session;
    if (session === undefined) return;
    this.#reading = this.#readingTerms(session);
    for (const [family, member] of this.#members) {
      this.#env.table.join(member, family, this.#exportRule(session, family));
    }
    const needsEverything =
      before.allowedLocalAs !== config.allowedLocalAs ||
      before.gracefulShutdown !== config.gracefulShutdown ||
      // What was refused so far has not been kept.
      (config.softReconfiguration && !before.softReconfiguration);
    if (needsEverything) this.requestRefresh();
    else if (before.importPolicy !== config.importPolicy) this.refreshImports();
  }

  /** The import policy answers differently: it is asked about what was kept, or the neighbor is asked to send everything again. */
  refreshImports(): void {
    if (!this.#config.softReconfiguration) this.requestRefresh();
    else if (this.#session !== undefined) {
      this.#reading = this.#readingTerms(this.#session);
      this.#env.table.reconsider(this.#source, this.#reading.importer);
    }
  }

  refreshExports(): void {
    for (const member of this.#members.values()) this.#env.table.refreshExports(member);
  }

  /** Asks the neighbor to send everything again; false where it cannot be asked. */
  requestRefresh(): boolean {
    const session = this.#session;
    if (!session?.negotiated?.routeRefresh) return false;
    for (const family of session.negotiated.families) {
      session.sendRouteRefresh({ ...afiSafiOf(family), subtype: RefreshSubtype.request });
    }
    return true;
  }

  *advertised(): Generator<Route> {
    for (const [family, member] of this.#members) yield* this.#env.table.advertised(member, family);
  }

  status(): Pick<NeighborStatus, "restarting" | "synchronized" | "prefixes" | "problems"> {
    const { table } = this.#env;
    const families = this.#session?.negotiated?.families;
    const byFamily = Object.fromEntries(
      FAMILIES.map(family => {
        const { paths, stale } = table.pathCount(this.#source, family);
        const member = this.#members.get(family);
        const advertised = member === undefined ? 0 : table.advertisedTo(member);
        return [family, { received: paths, stale, advertised }];
      }),
    ) as Record<Family, PrefixCounters>;
    const sumOf = (name: keyof PrefixCounters) => sum(FAMILIES.map(family => byFamily[family][name]));
    return {
      restarting: this.#helper.isKeeping,
      synchronized: families?.every(family => this.#complete.has(family)) ?? false,
      prefixes: {
        received: sumOf("received"),
        stale: sumOf("stale"),
        advertised: sumOf("advertised"),
        byFamily,
      },
      problems: { ...this.#problems } satisfies ProblemCounters,
    };
  }

  #answerRefreshes(session: Session, { families, enhancedRefresh }: Negotiated): RefreshAnswers {
    this.#answers = new RefreshAnswers(this.#env.clock, families, {
      mark: (family, subtype) => {
        if (enhancedRefresh) session.sendRouteRefresh({ ...afiSafiOf(family), subtype });
      },
      resend: family => this.#env.table.resend(this.#members.get(family)!),
    });
    return this.#answers;
  }

  /** Every path of the neighbor, as it was taken. */
  received(family: Family, view: "before" | "after" = "after"): Generator<ReceivedRoute> {
    return this.#env.table.views.received(family, this.#source, view);
  }

  /** The same by pieces of the table of so many prefixes. */
  receivedInSteps(family: Family, prefixes: number): Generator<readonly ReceivedRoute[]> {
    return this.#env.table.views.receivedInSteps(family, this.#source, prefixes);
  }

  importContext(session: Session): ImportContext {
    const { policyNeighbor, allowedLocalAs, importPolicy, gracefulShutdown } = this.#config;
    const { routerId, clusterId } = this.#env;
    const { localAddress } = session.connection;
    const settings = { allowedLocalAs, routerId, clusterId, localAddress, gracefulShutdown };
    return {
      neighbor: policyNeighbor,
      ...settings,
      policy: importPolicy,
      keepsReceived: this.#config.softReconfiguration,
    };
  }

  #readingTerms(session: Session): ReadingTerms {
    const { ebgp, fourOctetAs, families, extendedNextHop, addPathReceive } = session.negotiated!;
    const importer = this.#env.table.importer(this.#source, this.importContext(session));
    const byAfi = (has: (family: Family) => boolean) => [
      false,
      has(Family.ipv4Unicast),
      has(Family.ipv6Unicast),
    ];
    const addPath = byAfi(family => addPathReceive.includes(family));
    const context: UpdateScanContext = {
      ebgp,
      fourOctetAs,
      localAsn: this.#config.localAsn,
      clusterId: parseRouterId(this.#env.clusterId)!,
      ipv6NextHop: extendedNextHop.includes(Family.ipv4Unicast),
      addPathIpv4: addPath[1]!,
      addPathIpv6: addPath[2]!,
    };
    const isTaken = byAfi(family => families.includes(family) && !this.#disabledFamilies.has(family));
    return { importer, context, isTaken, addPath };
  }

  #exportRule(session: Session, family: Family): ExportRule {
    const { type, localAsn, reflectorClient, nextHopMode, nextHopSelf, policyNeighbor, gracefulShutdown } =
      this.#config;
    const { send } = this.#config.addPath;
    const sendsPaths = session.negotiated!.addPathSend.includes(family);
    const local = session.connection.localAddress.replace(/%.*$/, "");
    const isIpv4 = familyOfAddress(local) === Family.ipv4Unicast;
    return {
      target: {
        type,
        localAsn,
        reflectorClient,
        nextHopMode,
        nextHopSelf: {
          ipv4: nextHopSelf.ipv4 ?? (isIpv4 ? local : undefined),
          ipv6: nextHopSelf.ipv6 ?? (isIpv4 ? undefined : local),
        },
        clusterId: this.#env.clusterId,
        fourOctetAs: session.negotiated!.fourOctetAs,
        extendedNextHop: session.negotiated!.extendedNextHop.includes(Family.ipv4Unicast),
        addPaths: !sendsPaths ? 0 : send === "all" ? Number.MAX_SAFE_INTEGER : send,
        extendedMessages: session.negotiated!.extendedMessages,
        longLived: session.negotiated!.takesLongLivedStale,
        gracefulShutdown,
      },
      policy: this.#config.exportPolicy,
      neighbor: policyNeighbor,
      groupName: this.#config.exportGroup,
    };
  }

  #onProblems(update: Update): void {
    for (const { action, family } of update.problems) {
      if (action === "withdraw") this.#problems.withdraw++;
      if (action === "discard") this.#problems.discard++;
      if (action !== "disable-family" || family === undefined) continue;
      this.#problems.disableFamily++;
      // RFC 7606 2: nothing more is believed of this family until the next session.
      this.#disabledFamilies.add(family);
      this.#reading = this.#readingTerms(this.#session!);
      this.#env.table.removeAll(this.#source, family, "all");
    }
    const { address } = this.#config;
    const problems = update.problems.map(({ action, text }) => ({ action, text }));
    const prefixes = sum(
      [...update.withdrawn, ...update.announced.map(({ nlri }) => nlri)].map(({ count }) => count),
    );
    const text = `UPDATE from ${address}: ${problems.map(problem => `${problem.text} (${problem.action})`).join(", ")}`;
    this.#env.onWarning({ code: "MalformedUpdate", address, problems, prefixes, text });
  }

  #checkLimit(family: Family): void {
    const { paths } = this.#env.table.pathCount(this.#source, family);
    const verdict = this.#limit.check(family, paths);
    if (verdict === undefined) return;
    const { address, maxPrefixes } = this.#config;
    const { action } = verdict;
    const text = `${address} has sent ${verdict.text}`;
    const { limit } = maxPrefixes!;
    this.#env.onWarning({ code: "MaxPrefixes", address, family, prefixes: paths, limit, action, text });
    if (verdict.error !== undefined) throw verdict.error;
  }

  #onEndOfRib(family: Family): void {
    this.#complete.add(family);
    this.#helper.onEndOfRib(family);
    this.#env.deferral()?.endOfRib(this.#config.address, family);
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
