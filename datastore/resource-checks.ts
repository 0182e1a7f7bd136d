/**
 * Rules between resources: what a document alone cannot tell. They are checked against what is stored just
 * before the write, so two writers in the same instant can each pass; what must hold even then (one owner per
 * address) is not kept by these.
 */

import {
  type IPPool,
  PROTECTED_TIERS,
  type Problem,
  type Resource,
  type ResourceOfKind,
} from "../crd-schemas/index.ts";
import { overlaps, parseCidr, prefixLength } from "../net/cidr.ts";
import type { Datastore, Value } from "./datastore.ts";
import { DatastoreError, DatastoreErrorCode, isDatastoreError } from "./errors.ts";
import { key, type ResourceKind } from "./key.ts";
import { isTieredPolicy } from "./policy-name.ts";

type Stored = ResourceOfKind[ResourceKind];

/** What stands against creating the resource. */
export async function creationProblems(datastore: Datastore, resource: Resource): Promise<Problem[]> {
  if (resource.kind === "IPPool") return poolProblems(datastore, resource);
  return tierProblems(datastore, resource);
}

/** What stands against changing `current` into the resource. */
export async function changeProblems(
  datastore: Datastore,
  resource: Resource,
  current: Stored,
): Promise<Problem[]> {
  if (resource.kind === "IPPool") return poolChangeProblems(resource, current as IPPool);
  return tierOf(resource) === tierOf(current as Resource) ? [] : tierProblems(datastore, resource);
}

/** @throws DatastoreError NotSupported for a tier that is protected or in use */
export async function refuseTierDeletion(datastore: Datastore, name: string): Promise<void> {
  const tier = key("Tier", name);
  if (Object.hasOwn(PROTECTED_TIERS, name)) {
    throw new DatastoreError(DatastoreErrorCode.NotSupported, {
      key: tier,
      message: "this tier is protected and cannot be deleted",
    });
  }
  const kinds = [
    "NetworkPolicy",
    "GlobalNetworkPolicy",
    "StagedNetworkPolicy",
    "StagedGlobalNetworkPolicy",
  ] as const;
  for (const kind of kinds) {
    const { entries } = await datastore.list({ kind });
    const inside = entries.filter(entry => tierOf(entry.value) === name);
    if (inside.length > 0) {
      const others = inside.length === 1 ? "" : ` and ${inside.length - 1} more`;
      throw new DatastoreError(DatastoreErrorCode.NotSupported, {
        key: tier,
        message: `cannot delete a tier that is not empty: it holds ${kind} "${inside[0]!.key.name}"${others}`,
      });
    }
  }
}

async function poolProblems(datastore: Datastore, pool: IPPool): Promise<Problem[]> {
  const range = parseCidr(pool.spec.cidr)!;
  const problems: Problem[] = [];
  for (const { key: other, value } of (await datastore.list({ kind: "IPPool" })).entries) {
    const taken = parseCidr(String(value.spec?.cidr));
    if (other.name !== pool.metadata.name && taken && overlaps(range, taken)) {
      problems.push({
        path: ["spec", "cidr"],
        message: `${range} overlaps with the pool "${other.name}" (${taken})`,
        expected: "addresses that are in no other pool",
      });
    }
  }
  for (const { key: block } of (await datastore.list({ kind: "IPAMBlock" })).entries) {
    const taken = parseCidr(block.name);
    if (taken && overlaps(range, taken) && prefixLength(taken) !== pool.spec.blockSize) {
      problems.push({
        path: ["spec", "blockSize"],
        message: `the block ${taken} of another size is still in use in ${range}`,
        expected: String(prefixLength(taken)),
      });
      break;
    }
  }
  return problems;
}

function poolChangeProblems(pool: IPPool, current: IPPool): Problem[] {
  const problems: Problem[] = [];
  const before = { cidr: current.spec.cidr, blockSize: current.spec.blockSize ?? pool.spec.blockSize };
  for (const field of ["cidr", "blockSize"] as const) {
    if (pool.spec[field] !== before[field]) {
      problems.push({
        path: ["spec", field],
        message: `the ${field} of a pool cannot be changed from ${before[field]} to ${pool.spec[field]}`,
        expected: String(before[field]),
      });
    }
  }
  const servesBalancers = current.spec.allowedUses?.includes("LoadBalancer");
  if (servesBalancers && !pool.spec.allowedUses?.includes("LoadBalancer")) {
    problems.push({
      path: ["spec", "allowedUses"],
      message: "a pool for load balancers cannot be turned to other uses",
      expected: "LoadBalancer",
    });
  }
  return problems;
}

async function tierProblems(datastore: Datastore, resource: Resource): Promise<Problem[]> {
  const name = tierOf(resource);
  if (name === undefined) return [];
  try {
    await datastore.get(key("Tier", name));
    return [];
  } catch (error) {
    if (!isDatastoreError(error, DatastoreErrorCode.NotFound)) throw error;
    const message = `there is no tier "${name}"`;
    return [{ path: ["spec", "tier"], message, expected: "the name of a tier" }];
  }
}

/** The tier a policy is in; undefined for what is no policy. */
function tierOf(value: Value): string | undefined {
  return isTieredPolicy(value.kind) ? value.spec?.tier || "default" : undefined;
}
