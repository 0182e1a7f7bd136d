/**
 * Two machines under one node name: both would own the same blocks and write the same Node, and each would look
 * healthy. Calico does not notice. A heartbeat would (each node's write seen by all nodes, for ever); this costs
 * nothing until there is a doubt:
 *
 *   Each machine has an identity (a random id kept on its disk, and the kernel's boot id, because disks are
 *   cloned), noted in an annotation of its Node. Who starts and finds another identity there writes a challenge
 *   beside it and waits. The agent that runs under that identity watches its Node and strikes the challenge out:
 *   then the newcomer stops with an error. No answer means that nobody is there (the machine was rebooted, or
 *   replaced), and the newcomer takes the name over. Whoever finds its name taken over says so.
 */

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Node } from "../crd-schemas/index.ts";
import type { Clock } from "../daemon/clock.ts";
import type { Logger } from "../daemon/log.ts";
import type { Datastore, Value } from "../datastore/datastore.ts";
import { DatastoreErrorCode, isDatastoreError } from "../datastore/errors.ts";
import { key } from "../datastore/key.ts";
import { Reflector } from "../datastore/reflector.ts";
import { NodeStartError, NodeStartErrorCode } from "./errors.ts";
import { readText, writeAtomically } from "./node-name.ts";

/** Which machine runs under the name, and since which boot. */
export const IDENTITY_ANNOTATION = "calyx.io/machine";
/** Which other machine would like to. */
export const CHALLENGE_ANNOTATION = "calyx.io/challenge";

/** How long an agent has to answer: a watch delivers in milliseconds, but a busy machine has to get round to it. */
const ANSWER_MS = 2000;
const LOOK_EVERY_MS = 100;

export type Identity = string;

/** This machine's, created where it has none; `nodenameFile` says which folder outlives restarts. */
export function machineIdentity(nodenameFile: string, bootId: string = readBootId()): Identity {
  const file = join(dirname(nodenameFile), "calyx-machine-id");
  let machine = readText(file);
  if (machine === undefined) {
    machine = randomUUID();
    writeAtomically(file, machine);
  }
  return `${machine}/${bootId}`;
}

/** What a Node says about who runs it. */
export function standing(node: Pick<Node, "metadata">, identity: Identity): "ours" | "unclaimed" | "others" {
  const holder = annotations(node)[IDENTITY_ANNOTATION];
  if (holder === undefined) return "unclaimed";
  return holder === identity ? "ours" : "others";
}

/** The Node as ours. */
export function claimed<N extends Pick<Node, "metadata">>(node: N, identity: Identity): N {
  const { [CHALLENGE_ANNOTATION]: _, ...others } = annotations(node);
  return withAnnotations(node, { ...others, [IDENTITY_ANNOTATION]: identity });
}

/**
 * Returns once nobody else is found to run under this name (the Node itself is not ours yet).
 * @throws NodeStartError NAME_IN_USE
 */
export async function contestNodeName(options: {
  readonly datastore: Datastore;
  readonly nodeName: string;
  readonly identity: Identity;
  readonly clock: Clock;
  readonly logger: Logger | undefined;
}): Promise<void> {
  const { datastore, nodeName, identity, clock, logger } = options;
  if (!(await challenge(datastore, nodeName, identity))) return;
  logger?.info({ node: nodeName }, "another machine was this node before: asking whether it still is");
  const deadline = clock.now() + ANSWER_MS;
  while (clock.now() < deadline) {
    await clock.sleep(LOOK_EVERY_MS);
    const node = await readNode(datastore, nodeName);
    if (!node || standing(node.value, identity) !== "others") return;
    const challenger = annotations(node.value)[CHALLENGE_ANNOTATION];
    if (challenger === identity) continue;
    throw new NodeStartError(
      NodeStartErrorCode.NameInUse,
      `another machine is running as node ${nodeName}: give this one another name with NODENAME`,
      { node: nodeName, holder: annotations(node.value)[IDENTITY_ANNOTATION], challenger },
    );
  }
  logger?.info({ node: nodeName }, "no answer: taking the node over");
}

/** Answers challenges for as long as the agent runs; tells once when the name was taken over. */
export async function defendNodeName(options: {
  readonly datastore: Datastore;
  readonly nodeName: string;
  readonly identity: Identity;
  readonly logger: Logger | undefined;
  readonly clock?: Clock;
  readonly onLost: (holder: string) => void;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { datastore, nodeName, identity, logger, clock, onLost, signal } = options;
  let lost = false;
  const reflector = new Reflector({
    datastore,
    queries: [{ kind: "Node", namePrefix: nodeName }],
    clock,
    // Without the logger: that the datastore is lost is for the agent to say, once.
    async onUpdates(updates) {
      for (const update of updates) {
        if (update.type !== "put" || update.key.name !== nodeName) continue;
        const node: Value = update.value;
        const where = standing(node, identity);
        if (where === "others" && !lost) {
          const holder = annotations(node)[IDENTITY_ANNOTATION]!;
          logger?.error({ node: nodeName, holder }, "another machine has taken over this node's name");
          onLost(holder);
        }
        lost = where === "others";
        if (where !== "ours" || annotations(node)[CHALLENGE_ANNOTATION] === undefined) continue;
        logger?.error({ node: nodeName }, "another machine tries to start under this node's name: refused");
        // Lost to another write: that one is seen here next. Not written: the challenger will ask again.
        await datastore.update(update.key, claimed(node, identity), update.revision).catch(error => {
          if (!isDatastoreError(error)) throw error;
        });
      }
    },
  });
  await reflector.run(signal);
}

/** False where there is nobody to challenge. */
async function challenge(datastore: Datastore, nodeName: string, identity: Identity): Promise<boolean> {
  for (;;) {
    const node = await readNode(datastore, nodeName);
    if (!node || standing(node.value, identity) !== "others") return false;
    const challenged = withAnnotations(node.value, {
      ...annotations(node.value),
      [CHALLENGE_ANNOTATION]: identity,
    });
    try {
      await datastore.update(node.key, challenged, node.revision);
      return true;
    } catch (error) {
      if (!isDatastoreError(error, DatastoreErrorCode.Conflict)) throw error;
    }
  }
}

async function readNode(datastore: Datastore, nodeName: string) {
  try {
    return await datastore.get(key("Node", nodeName));
  } catch (error) {
    if (isDatastoreError(error, DatastoreErrorCode.NotFound)) return undefined;
    throw error;
  }
}

function annotations({ metadata }: Pick<Node, "metadata">): Record<string, string> {
  return metadata.annotations ?? {};
}

function withAnnotations<N extends Pick<Node, "metadata">>(node: N, changed: Record<string, string>): N {
  return { ...node, metadata: { ...node.metadata, annotations: changed } };
}

function readBootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}
