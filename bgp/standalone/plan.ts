/**
 * What a configuration means to node-bgp: options of the speaker, of each neighbor, and the routes of our own; or what is
 * wrong with it beyond the schema. Pure, but for passwords in files, which are read by a function.
 */

import {
  canonicalAddress,
  checkBmpOptions,
  checkDynamicNeighborsOptions,
  checkLocalRoute,
  checkNeighborOptions,
  checkSpeakerOptions,
  type DynamicNeighborsOptions,
  type ListenSetting,
  type LocalRoute,
  type NeighborOptions,
  type SpeakerOptions,
} from "node-bgp";
import type { Path, Problem, Report } from "../../crd-schemas/problem.ts";
import { parseCidr } from "../../net/cidr.ts";
import type { AsRange, Configuration, DynamicPeers, Peer, PeerSettings } from "./configuration.ts";
import { judge } from "./judge.ts";
import { exportGroupOf, Policies, type PolicyCache, type ResolvedPolicy } from "./policies.ts";

/** What node-bgp is given; `fingerprint` is equal where nothing has to be done at a reload. */
export interface Planned<T> {
  readonly options: T;
  readonly fingerprint: string;
}

export interface Plan {
  readonly speaker: SpeakerOptions;
  /** By canonical address. */
  readonly neighbors: ReadonlyMap<string, Planned<NeighborOptions>>;
  /** By canonical prefix. */
  readonly dynamic: ReadonlyMap<string, Planned<DynamicNeighborsOptions>>;
  /** By prefix as configured. */
  readonly routes: ReadonlyMap<string, LocalRoute>;
}

export interface PlanTools {
  /** The key in a file; throws where it cannot be read. */
  readonly readPassword: (file: string) => string;
  readonly policies: PolicyCache;
}

/** @param configuration what the schema lets through; lists may have holes where it did not */
export function planOf(
  configuration: Configuration,
  tools: PlanTools,
): { plan: Plan; problems: readonly Problem[] } {
  const planner = new Planner(configuration, tools);
  const plan = planner.plan();
  tools.policies.finish();
  // What several peers name is found wrong by each of them.
  const problems = new Map(planner.problems.map(problem => [JSON.stringify(problem), problem]));
  return { plan, problems: [...problems.values()] };
}

class Planner {
  readonly problems: Problem[] = [];
  readonly #configuration: Configuration;
  readonly #tools: PlanTools;
  readonly #policies: Policies;
  readonly #speaker: SpeakerOptions;
  readonly #report: Report = (path, message, expected) => this.problems.push({ path, message, expected });

  constructor(configuration: Configuration, tools: PlanTools) {
    this.#configuration = configuration;
    this.#tools = tools;
    this.#policies = new Policies(configuration, tools.policies, this.#report);
    this.#speaker = speakerOptions(configuration);
  }

  plan(): Plan {
    judge([], this.#report, this.#speaker, checkSpeakerOptions);
    this.#policies.checkAll();
    const { bmp } = this.#configuration;
    if (bmp !== undefined) judge(["bmp"], this.#report, bmp, checkBmpOptions);
    return {
      speaker: this.#speaker,
      neighbors: this.#neighbors(),
      dynamic: this.#dynamic(),
      routes: this.#routes(),
    };
  }

  #neighbors(): Plan["neighbors"] {
    const neighbors = new Map<string, Planned<NeighborOptions>>();
    for (const [index, peer] of (this.#configuration.peers ?? []).entries()) {
      if (peer === undefined) continue;
      const path = ["peers", index];
      const address = canonicalAddress(peer.address);
      if (address === undefined) {
        const shown = JSON.stringify(peer.address);
        this.#report(
          [...path, "address"],
          `${shown} is not an IPv4 or IPv6 address`,
          "an IPv4 or IPv6 address",
        );
      } else if (neighbors.has(address)) {
        this.#report([...path, "address"], `there is already a peer ${address}`, "every address once");
        continue;
      }
      const planned = this.#neighbor(peer, path);
      if (planned === undefined || address === undefined) continue;
      judge(path, this.#report, planned.options, options => checkNeighborOptions(options, this.#speaker));
      neighbors.set(address, planned);
    }
    return neighbors;
  }

  #neighbor(peer: Peer, path: Path): Planned<NeighborOptions> | undefined {
    const { group, address, ...own } = peer;
    const shared = this.#group(group, path);
    if (shared === undefined) return undefined;
    const { as, ...settings }: PeerSettings = {
      passive: this.#configuration.passive ?? false,
      ...shared,
      ...own,
    };
    if (as === undefined) {
      this.#report([...path, "as"], "as is missing", "the peer's AS number, here or in its group");
      return undefined;
    }
    const { options, secrets } = this.#settings(settings, as, path);
    return {
      options: { address, asn: as, ...options },
      fingerprint: JSON.stringify([as, settings, secrets]),
    };
  }

  #dynamic(): Plan["dynamic"] {
    const dynamic = new Map<string, Planned<DynamicNeighborsOptions>>();
    for (const [index, peers] of (this.#configuration.dynamicPeers ?? []).entries()) {
      if (peers === undefined) continue;
      const path = ["dynamicPeers", index];
      const prefix = parseCidr(peers.prefix) ?? peers.prefix;
      if (dynamic.has(prefix)) {
        this.#report([...path, "prefix"], `there are already peers from ${prefix}`, "every prefix once");
        continue;
      }
      const planned = this.#dynamicPeers(peers, path);
      if (planned === undefined) continue;
      judge(path, this.#report, planned.options, options =>
        checkDynamicNeighborsOptions(options, this.#speaker),
      );
      dynamic.set(prefix, planned);
    }
    return dynamic;
  }

  #dynamicPeers(peers: DynamicPeers, path: Path): Planned<DynamicNeighborsOptions> | undefined {
    const { group, prefix, as, limit, ...own } = peers;
    const shared = this.#group(group, path);
    if (shared === undefined) return undefined;
    // What a group says about dialling is for its peers with an address.
    const {
      as: _as,
      port: _port,
      passive: _passive,
      passiveFallback: _fallback,
      connectRetryTime: _retry,
      ...rest
    } = shared;
    const settings: PeerSettings = { ...rest, ...own };
    const { options, secrets } = this.#settings(settings, undefined, path);
    return {
      options: { prefix, asn: asnSet(as), ...(limit !== undefined && { limit }), ...options },
      fingerprint: JSON.stringify([as, limit, settings, secrets]),
    };
  }

  #group(group: string | undefined, path: Path): PeerSettings | undefined {
    if (group === undefined) return {};
    const { groups = {} } = this.#configuration;
    const found = groups[group];
    if (found === undefined) {
      const names = Object.keys(groups);
      const expected =
        names.length === 0 ? "a group under `groups`, of which there is none" : `one of ${names.join(", ")}`;
      this.#report([...path, "group"], `there is no group ${group}`, expected);
    }
    return found;
  }

  /** `secrets`: what the settings do not show and the session depends on. */
  #settings(settings: Omit<PeerSettings, "as">, asn: number | undefined, path: Path) {
    const { localAs, rrClient, passwordFile, import: imports, export: exports, ...rest } = settings;
    const password = this.#password(settings, path);
    const policy = (choice: PeerSettings["import"], field: string) =>
      choice === undefined ? undefined : this.#policies.resolve(choice, [...path, field]);
    const [importPolicy, exportPolicy] = [policy(imports, "import"), policy(exports, "export")];
    const options = {
      ...rest,
      ...(localAs !== undefined && { localAsn: localAs }),
      ...(rrClient !== undefined && { reflectorClient: rrClient }),
      ...(password !== undefined && { password }),
      ...(importPolicy !== undefined && { importPolicy: importPolicy.policy }),
      ...(exportPolicy !== undefined && { exportPolicy: exportPolicy.policy }),
      ...this.#exportGroup(exportPolicy, asn, localAs),
    };
    return { options, secrets: [password, importPolicy?.text, exportPolicy?.text] };
  }

  #exportGroup(policy: ResolvedPolicy | undefined, asn: number | undefined, localAs: number | undefined) {
    if (policy === undefined) return {};
    const group = exportGroupOf(policy.text, asn, localAs ?? this.#configuration.as);
    return group === undefined ? {} : { exportGroup: group };
  }

  #password({ password, passwordFile }: PeerSettings, path: Path): string | undefined {
    if (passwordFile === undefined) return password;
    const place = [...path, "passwordFile"];
    if (password !== undefined)
      this.#report(place, "password and passwordFile exclude each other", "one of them");
    try {
      return this.#tools.readPassword(passwordFile);
    } catch (error) {
      this.#report(place, `cannot read the password: ${(error as Error).message}`, "a readable file");
      return undefined;
    }
  }

  #routes(): Plan["routes"] {
    const routes = new Map<string, LocalRoute>();
    for (const [index, network] of (this.#configuration.networks ?? []).entries()) {
      if (network === undefined) continue;
      const path = ["networks", index];
      const isPlain = typeof network === "string";
      const route = isPlain ? { prefix: network } : network;
      if (routes.has(route.prefix))
        this.#report(path, `${route.prefix} is already announced`, "every prefix once");
      judge(path, this.#report, route, checkLocalRoute, isPlain);
      routes.set(route.prefix, route);
    }
    return routes;
  }
}

function speakerOptions(configuration: Configuration): SpeakerOptions {
  const { as, routerId, clusterId, listen = true, port, holdTime, keepaliveTime, multipath } = configuration;
  const { gracefulRestart = true, stop } = configuration;
  return {
    asn: as,
    routerId,
    ...(clusterId !== undefined && { clusterId }),
    listen: listenSetting(listen, port),
    ...(holdTime !== undefined && { holdTime }),
    ...(keepaliveTime !== undefined && { keepaliveTime }),
    ...(multipath !== undefined && { multipath }),
    gracefulRestart:
      gracefulRestart === false
        ? false
        : { restarting: stop === "graceful", ...(gracefulRestart === true ? {} : gracefulRestart) },
  };
}

function listenSetting(listen: NonNullable<Configuration["listen"]>, port: number | undefined) {
  if (listen === false) return false;
  const setting: ListenSetting = {
    ...(port !== undefined && { port }),
    ...(listen !== true && { addresses: typeof listen === "string" ? [listen] : listen }),
  };
  return setting;
}

/** Ranges are written `64512-65534`. */
function asnSet(as: AsRange | readonly AsRange[]): DynamicNeighborsOptions["asn"] {
  const list = typeof as === "number" || typeof as === "string" ? [as] : as;
  return list.map(item => {
    if (typeof item === "number") return item;
    const [from = 0, to = 0] = item.split("-").map(Number);
    return [from, to] as const;
  });
}
