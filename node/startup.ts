/**
 * Making a host a node of the cluster: its name, its addresses, its Node resource, and what the first node of a
 * cluster finds missing. Run before the agents, each time; it can be repeated and interrupted at will, and any
 * number of hosts may do it at once.
 *
 * The order matters: the name is needed to read the Node, the Node's address is kept where nothing else is asked
 * for, and the name is written to its file last, so that the CNI plugin, which waits for that file, finds a node
 * that is complete.
 */

import type { Node } from "../crd-schemas/index.ts";
import { jitteredBackoff } from "../daemon/backoff.ts";
import { type Clock, systemClock } from "../daemon/clock.ts";
import type { Logger } from "../daemon/log.ts";
import { CalicoClient, type Draft } from "../datastore/client.ts";
import type { Datastore } from "../datastore/datastore.ts";
import { DatastoreErrorCode, isDatastoreError } from "../datastore/errors.ts";
import { ensureInitialized } from "../datastore/init.ts";
import type { ResourceKind } from "../datastore/key.ts";
import { ValidationError } from "../datastore/validation-error.ts";
import { IpamError } from "../ipam/errors.ts";
import { ensureTunnelAddresses } from "../ipam/tunnel-addresses.ts";
import type { InterfaceAddress } from "../net/cidr.ts";
import { chooseAddress, findConflicts, type OtherNode, storedAddress } from "./addresses.ts";
import type { HostInterface, Surroundings } from "./autodetect.ts";
import { defaultFelixConfigurations, defaultPools } from "./defaults.ts";
import { type NodeEnvironment, readEnvironment, type Variables } from "./environment.ts";
import { claimed, contestNodeName, type Identity, machineIdentity } from "./identity.ts";
import { determineNodeName, writeNodeName } from "./node-name.ts";

export interface StartOptions extends Surroundings {
  readonly datastore: Datastore;
  /** `process.env`, or what a lab host has instead. */
  readonly env: Variables;
  /** This host's, as `hostInterfaces` (interfaces.ts) reads them. */
  readonly interfaces: () => readonly HostInterface[];
  readonly logger?: Logger;
  readonly clock?: Clock;
  /** Where neither NODENAME, the file nor HOSTNAME says a name; default: what the system says. */
  readonly osHostName?: string;
  /** Whether the kernel has IPv6: then an IPv6 pool is made, too. Default: yes. */
  readonly ipv6?: boolean;
  /** Default: from the folder of the nodename file. */
  readonly identity?: Identity;
  readonly signal?: AbortSignal;
}

export interface StartedNode {
  readonly nodeName: string;
  readonly node: Node;
  /** For `defendNodeName` while the agent runs. */
  readonly identity: Identity;
  readonly environment: NodeEnvironment;
}

/** @throws NodeStartError; DatastoreError Unavailable, unless WAIT_FOR_DATASTORE is set: then it waits */
export async function startNode(options: StartOptions): Promise<StartedNode> {
  const { datastore, logger, clock = systemClock } = options;
  const environment = readEnvironment(options.env);
  const nodeName = determineNodeName(environment, options.osHostName);
  const identity = options.identity ?? machineIdentity(environment.nodenameFile);
  const client = new CalicoClient(datastore, { clock });

  if (environment.waitForDatastore) await waitForDatastore(datastore, clock, logger, options.signal);
  await ensureInitialized(datastore, {
    clusterType: [...environment.clusterTypes, ...(environment.backend === "bird" ? ["bgp"] : [])].join(","),
  });
  await contestNodeName({ datastore, nodeName, identity, clock, logger });
  const node = await writeNode(client, nodeName, identity, environment, options);
  await createMissing(client, environment, nodeName, options);
  await giveTunnelAddresses(datastore, nodeName, logger);
  writeNodeName(environment.nodenameFile, nodeName);
  const { ipv4Address, ipv6Address } = node.spec.bgp ?? {};
  logger?.info({ node: nodeName, ipv4: ipv4Address, ipv6: ipv6Address }, "node started");
  return { nodeName, node, identity, environment };
}

async function waitForDatastore(
  datastore: Datastore,
  clock: Clock,
  logger: Logger | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  const backoff = jitteredBackoff({ firstMs: 250, maxMs: 5000 });
  for (let attempts = 1; ; attempts++) {
    try {
      await datastore.list({ kind: "ClusterInformation" });
      return;
    } catch (error) {
      if (!isDatastoreError(error, DatastoreErrorCode.Unavailable)) throw error;
      if (attempts === 1) logger?.warn({ err: error }, "waiting for the datastore");
      await clock.sleep(backoff.next(), signal);
    }
  }
}

async function writeNode(
  client: CalicoClient,
  nodeName: string,
  identity: Identity,
  environment: NodeEnvironment,
  options: StartOptions,
): Promise<Node> {
  for (;;) {
    const { items: nodes } = await client.list("Node");
    const stored = nodes.find(node => node.metadata.name === nodeName);
    const addresses = await chooseAddresses(stored?.spec.bgp, environment, options);
    if (environment.checkAddresses) refuseConflicts(addresses, nodes, nodeName, options.logger);
    const draft = claimed(nodeResource(nodeName, stored, addresses, environment), identity);
    try {
      if (!stored) return await client.create(draft);
      if (JSON.stringify(draft) === JSON.stringify(stored)) return stored;
      return await client.update(draft);
    } catch (error) {
      const lost =
        isDatastoreError(error, DatastoreErrorCode.Conflict) ||
        isDatastoreError(error, DatastoreErrorCode.AlreadyExists) ||
        isDatastoreError(error, DatastoreErrorCode.NotFound);
      if (!lost) throw error;
    }
  }
}

interface NodeAddresses {
  readonly ipv4: InterfaceAddress | undefined;
  readonly ipv6: InterfaceAddress | undefined;
}

async function chooseAddresses(
  bgp: Node["spec"]["bgp"],
  environment: NodeEnvironment,
  options: StartOptions,
): Promise<NodeAddresses> {
  // Policy without networking needs no address, so none is looked for; one that is given or stored is kept.
  const optional = environment.backend === "none";
  const interfaces = options.interfaces();
  const choose = async (version: 4 | 6) => {
    const setting = version === 4 ? environment.ip : environment.ip6;
    const stored = storedAddress(version === 4 ? bgp?.ipv4Address : bgp?.ipv6Address);
    const { address, warnings } = await chooseAddress({
      version,
      setting: optional && setting.kind === "unset" && !stored ? { kind: "none" } : setting,
      detection: version === 4 ? environment.detection : environment.detection6,
      stored,
      interfaces,
      surroundings: options,
    });
    for (const warning of warnings) options.logger?.warn(warning);
    return address;
  };
  return { ipv4: await choose(4), ipv6: await choose(6) };
}

function refuseConflicts(
  { ipv4, ipv6 }: NodeAddresses,
  nodes: readonly Node[],
  nodeName: string,
  logger: Logger | undefined,
): void {
  const others: OtherNode[] = nodes
    .filter(node => node.metadata.name !== nodeName)
    .map(({ metadata, spec }) => ({
      name: metadata.name,
      addresses: [spec.bgp?.ipv4Address, spec.bgp?.ipv6Address].flatMap(text => storedAddress(text) ?? []),
    }));
  const { errors, warnings } = findConflicts(
    [ipv4, ipv6].filter(address => address !== undefined),
    others,
  );
  for (const warning of warnings) logger?.warn(warning);
  if (errors[0]) throw errors[0];
}

/** The stored Node with what start-up knows better; everything else in it belongs to others. */
function nodeResource(
  name: string,
  stored: Node | undefined,
  { ipv4, ipv6 }: NodeAddresses,
  { asNumber, kubernetesNode }: NodeEnvironment,
): Node {
  const node: Node = stored ?? {
    apiVersion: "projectcalico.org/v3",
    kind: "Node",
    metadata: { name },
    spec: {},
  };
  const { bgp: storedBgp, addresses: storedAddresses = [], ...spec } = node.spec;
  const { ipv4Address: _, ipv6Address: __, ...others } = storedBgp ?? {};
  const bgp = {
    ...others,
    ...(ipv4 && { ipv4Address: text(ipv4) }),
    ...(ipv6 && { ipv6Address: text(ipv6) }),
    ...(asNumber !== undefined && { asNumber }),
  };
  const addresses = [
    ...[ipv4, ipv6].flatMap(address =>
      address ? [{ address: text(address), type: "CalicoNodeIP" as const }] : [],
    ),
    ...storedAddresses.filter(({ type }) => type !== "CalicoNodeIP"),
  ];
  return {
    ...node,
    spec: {
      ...spec,
      ...(Object.keys(bgp).length > 0 && { bgp }),
      ...(addresses.length > 0 && { addresses }),
      ...(kubernetesNode !== undefined && {
        orchRefs: [{ nodeName: kubernetesNode, orchestrator: "k8s" }],
      }),
    },
  };
}

async function createMissing(
  client: CalicoClient,
  environment: NodeEnvironment,
  nodeName: string,
  { interfaces, ipv6 = true, logger }: StartOptions,
): Promise<void> {
  const { items: existing } = await client.list("IPPool");
  for (const pool of defaultPools({ environment, existing, interfaces: interfaces(), ipv6 })) {
    if (await createIfMissing(client, pool)) {
      logger?.info({ pool: pool.metadata.name, cidr: pool.spec.cidr }, "created a default pool");
    }
  }
  for (const configuration of defaultFelixConfigurations(nodeName)) {
    await createIfMissing(client, configuration);
  }
}

/** Felix keeps at it; a node whose pools are exhausted starts all the same. */
async function giveTunnelAddresses(
  datastore: Datastore,
  nodeName: string,
  logger: Logger | undefined,
): Promise<void> {
  try {
    await ensureTunnelAddresses({ datastore, nodeName, logger });
  } catch (error) {
    if (!(error instanceof IpamError)) throw error;
    logger?.warn({ err: error }, "could not give this node its tunnel addresses");
  }
}

/** Another node that starts at the same moment may be faster: then there is nothing left to do. */
async function createIfMissing<K extends ResourceKind>(
  client: CalicoClient,
  draft: Draft<K>,
): Promise<boolean> {
  try {
    await client.create(draft);
    return true;
  } catch (error) {
    if (isDatastoreError(error, DatastoreErrorCode.AlreadyExists)) return false;
    // The same pool, just created by another node: seen as an overlap before it is seen as a name that is taken.
    if (error instanceof ValidationError && (await exists(client, draft))) return false;
    throw error;
  }
}

async function exists<K extends ResourceKind>(client: CalicoClient, draft: Draft<K>): Promise<boolean> {
  try {
    await client.get(draft.kind, draft.metadata.name);
    return true;
  } catch {
    return false;
  }
}

function text({ ip, prefixLength }: InterfaceAddress): string {
  return `${ip}/${prefixLength}`;
}
