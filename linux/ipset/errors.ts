/** What the kernel refuses of sets. */

import { NetlinkError } from "../errors.ts";

/** enum ipset_errno and, from 4352, what the hash types add to it. */
const CODES: Readonly<Record<number, readonly [code: string, meaning: string]>> = {
  4097: ["IPSET_ERR_PROTOCOL", "the kernel speaks another protocol"],
  4098: ["IPSET_ERR_FIND_TYPE", "the kernel does not know the type"],
  4099: ["IPSET_ERR_MAX_SETS", "there are as many sets as there can be"],
  4100: ["IPSET_ERR_BUSY", "the set is in use"],
  4101: ["IPSET_ERR_EXIST_SETNAME2", "the second set does not exist"],
  4102: ["IPSET_ERR_TYPE_MISMATCH", "the set is there with another type"],
  4103: ["IPSET_ERR_EXIST", "the element is there already, or is not there"],
  4104: ["IPSET_ERR_INVALID_CIDR", "the prefix length is not allowed"],
  4106: ["IPSET_ERR_INVALID_FAMILY", "the address is of another family"],
  4352: ["IPSET_ERR_HASH_FULL", "the set is full"],
  4353: ["IPSET_ERR_HASH_ELEM", "the element cannot be in such a set"],
};

export class IpsetError extends NetlinkError {
  /** Of the elements given, the first that was refused: those before it are done. */
  readonly index: number | undefined;

  constructor(errno: number, operation: string, index?: number) {
    const [code, meaning] = CODES[errno] ?? [];
    super(errno, operation, meaning, code);
    this.name = "IpsetError";
    this.index = index;
  }
}
