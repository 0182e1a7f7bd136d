/** IP pools, as far as packet filters need to know them: what is masqueraded, and where it is not. */

import type { IPPool } from "../../crd-schemas/index.ts";
import type { Key } from "../../datastore/key.ts";
import { cidr } from "../../net/cidr.ts";
import type { Changes, PoolInfo } from "./changes.ts";
import type { GraphPart } from "./part.ts";

export class Pools implements GraphPart {
  readonly kinds = ["IPPool"] as const;
  #changes = new Map<string, PoolInfo | undefined>();

  set(key: Key, value: IPPool | undefined): void {
    this.#changes.set(
      key.name,
      value && { cidr: cidr(value.spec.cidr), masquerade: value.spec.natOutgoing ?? false },
    );
  }

  drain(): Partial<Changes> {
    const pools = this.#changes;
    this.#changes = new Map();
    return { pools };
  }
}
