/**
 * What a configuration means to node-bgp: options of the speaker, of each neighbor, and the routes of our own; or what is
 * wrong with it beyond the schema. node-bgp's own limits are asked, not repeated. Pure: passwords in files are read by a function.
 */

import {
  acceptAll,
  canonicalAddress,
  checkLocalRoute,
  checkNeighborOptions,
  checkSpeakerOptions,
  type ListenSetting,
  type LocalRoute,
  type NeighborOptions,
  OptionError,
  type RoutePolicy,
  rejectAll,
  type SpeakerOptions,
} from "node-bgp";
import type { Path, Problem, Report } from "../../crd-schemas/problem.ts";
import type { Configuration, Peer, PolicyChoice } from "./configuration.ts";

export interface PlannedNeighbor {
  readonly options: NeighborOptions;
  /** Equal where nothing has to be done at a reload. */
  readonly fingerprint: string;
}

export interface Plan {
  readonly speaker: SpeakerOptions;
  /** By canonical address. */
  readonly neighbors: ReadonlyMap<string, PlannedNeighbor>;
  /** By prefix as configured. */
  readonly routes: ReadonlyMap<string, LocalRoute>;
}

/**
 * @param configuration what the schema lets through; lists may have holes where it did not
 * @param readPassword the key in a file; throws where it cannot be read
 */
export function planOf(
  configuration: Configuration,
  readPassword: (file: string) => string,
): { plan: Plan; problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const report: Report = (path, message, expected) => problems.push({ path, message, expected });
  const speaker = speakerOptions(configuration);
  judge([], report, speaker, checkSpeakerOptions);
  const neighbors = new Map<string, PlannedNeighbor>();
  for (const [index, peer] of (configuration.peers ?? []).entries()) {
    if (peer === undefined) continue;
    const path = ["peers", index];
    const address = canonicalAddress(peer.address);
    if (address === undefined) {
      const shown = JSON.stringify(peer.address);
      report([...path, "address"], `${shown} is not an IPv4 or IPv6 address`, "an IPv4 or IPv6 address");
    }
    if (address !== undefined && neighbors.has(address)) {
      report([...path, "address"], `there is already a peer ${address}`, "every address once");
      continue;
    }
    const planned = planPeer(configuration, peer, path, report, readPassword);
    if (planned === undefined || address === undefined) continue;
    judge(path, report, planned.options, options => checkNeighborOptions(options, speaker));
    neighbors.set(address, planned);
  }
  const routes = new Map<string, LocalRoute>();
  for (const [index, network] of (configuration.networks ?? []).entries()) {
    if (network === undefined) continue;
    const path = ["networks", index];
    const route = typeof network === "string" ? { prefix: network } : network;
    if (routes.has(route.prefix)) report(path, `${route.prefix} is already announced`, "every prefix once");
    judge(path, report, route, checkLocalRoute, typeof network === "string");
    routes.set(route.prefix, route);
  }
  return { plan: { speaker, neighbors, routes }, problems };
}

function speakerOptions(configuration: Configuration): SpeakerOptions {
  const { as, routerId, clusterId, listen = true, port, holdTime, keepaliveTime } = configuration;
  const { gracefulRestart = true, stop } = configuration;
  return {
    asn: as,
    routerId,
    ...(clusterId !== undefined && { clusterId }),
    listen: listenSetting(listen, port),
    ...(holdTime !== undefined && { holdTime }),
    ...(keepaliveTime !== undefined && { keepaliveTime }),
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

const POLICIES: Readonly<Record<PolicyChoice, RoutePolicy>> = { accept: acceptAll, reject: rejectAll };

function planPeer(
  configuration: Configuration,
  peer: Peer,
  path: Path,
  report: Report,
  readPassword: (file: string) => string,
): PlannedNeighbor | undefined {
  const { group, ...own } = peer;
  const shared = group === undefined ? {} : configuration.groups?.[group];
  if (shared === undefined) {
    const names = Object.keys(configuration.groups ?? {});
    const expected =
      names.length === 0 ? "a group under `groups`, of which there is none" : `one of ${names.join(", ")}`;
    report([...path, "group"], `there is no group ${group}`, expected);
    return undefined;
  }
  const settings = { passive: configuration.passive ?? false, ...shared, ...own };
  const { as, localAs, rrClient, passwordFile, import: imports, export: exports, ...rest } = settings;
  if (as === undefined) {
    report([...path, "as"], "as is missing", "the peer's AS number, here or in its group");
    return undefined;
  }
  let password = rest.password;
  if (passwordFile !== undefined) {
    if (password !== undefined)
      report([...path, "passwordFile"], "password and passwordFile exclude each other", "one of them");
    try {
      password = readPassword(passwordFile);
    } catch (error) {
      report(
        [...path, "passwordFile"],
        `cannot read the password: ${(error as Error).message}`,
        "a readable file",
      );
    }
  }
  const unsaid: PolicyChoice = as === (localAs ?? configuration.as) ? "accept" : "reject";
  const options: NeighborOptions = {
    ...rest,
    asn: as,
    ...(localAs !== undefined && { localAsn: localAs }),
    ...(rrClient !== undefined && { reflectorClient: rrClient }),
    ...(password !== undefined && { password }),
    importPolicy: POLICIES[imports ?? unsaid],
    exportPolicy: POLICIES[exports ?? unsaid],
    exportGroup: exports ?? unsaid,
  };
  return { options, fingerprint: JSON.stringify({ ...settings, password }) };
}

/** What node-bgp calls otherwise than the file does. */
const FILE_NAMES: Readonly<Record<string, string>> = {
  asn: "as",
  localAsn: "localAs",
  reflectorClient: "rrClient",
};

/**
 * node-bgp's own verdict. It stops at the first thing that is wrong, so it is asked again without that, until it has nothing to say or what is wrong
 * cannot be left out. `whole`: the file has one value for all of it, and that is what is wrong.
 */
function judge<T extends object>(
  path: Path,
  report: Report,
  options: T,
  check: (options: T) => void,
  whole = false,
): void {
  for (let rest = options; ; ) {
    try {
      check(rest);
      return;
    } catch (error) {
      if (!(error instanceof OptionError)) throw error;
      const { option, message } = error;
      const [first = "", ...deeper] = option.split(".");
      const [, text = message, expected = "another value"] = /^[^:]*: (.* is not (.*))$/s.exec(message) ?? [];
      report(whole ? path : [...path, FILE_NAMES[first] ?? first, ...deeper], text, expected);
      if (!Object.hasOwn(rest, first) || NEEDED.has(first)) return;
      const { [first as keyof T]: _wrong, ...others } = rest;
      rest = others as T;
    }
  }
}

/** Without these nothing else can be judged. */
const NEEDED: ReadonlySet<string> = new Set(["address", "asn", "routerId", "prefix"]);
