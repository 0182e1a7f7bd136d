/**
 * Addresses for pods that have none yet: files from which pods are yet to be made say nothing about them, and still one
 * wants to know who may talk to whom. They are of 240.0.0.0/4, which nobody uses and no rule means but by 0.0.0.0/0,
 * and they hang on the pod's name, so that the same pod has the same one in two states that are compared.
 */

import { createHash } from "node:crypto";
import { bigIntToIp, type Ip } from "../../net/ip.ts";

const FIRST = 0xf0000000;
/** Without 255.255.255.255. */
const COUNT = 2 ** 28 - 1;

export class MadeUpAddresses {
  readonly #byName = new Map<string, Ip>();
  readonly #taken: Set<Ip>;

  constructor(taken: Iterable<Ip>) {
    this.#taken = new Set(taken);
  }

  of(name: string): Ip {
    const known = this.#byName.get(name);
    if (known !== undefined) return known;
    let number = createHash("sha1").update(name).digest().readUInt32BE(0) % COUNT;
    let address = at(number);
    while (this.#taken.has(address)) {
      number = (number + 1) % COUNT;
      address = at(number);
    }
    this.#taken.add(address);
    this.#byName.set(name, address);
    return address;
  }
}

function at(number: number): Ip {
  return bigIntToIp(BigInt(FIRST + number), 4);
}
