/** etcd members out of DNS, as etcd's own clients look for them: SRV records, those with TLS first. */

import { resolveSrv } from "node:dns/promises";
import { DatastoreError, DatastoreErrorCode } from "../errors.ts";

const SERVICES = [
  { service: "_etcd-client-ssl._tcp", scheme: "https" },
  { service: "_etcd-client._tcp", scheme: "http" },
] as const;

type Lookup = (name: string) => Promise<readonly { readonly name: string; readonly port: number }[]>;

/** @throws DatastoreError Unavailable if the domain names none */
export async function discover(domain: string, lookup: Lookup = resolveSrv): Promise<string[]> {
  let cause: unknown;
  for (const { service, scheme } of SERVICES) {
    try {
      const records = await lookup(`${service}.${domain}`);
      if (records.length > 0) return records.map(({ name, port }) => `${scheme}://${name}:${port}`);
    } catch (error) {
      cause = error;
    }
  }
  throw new DatastoreError(DatastoreErrorCode.Unavailable, {
    message: `no etcd is announced in DNS for the domain ${domain}`,
    cause,
  });
}
