/** What programs need in their environment to belong to a lab, or to one of its hosts. */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { poolVariables } from "./encapsulation.ts";
import { ETCD_PORT } from "./etcd.ts";
import { FABRIC_ADDRESS } from "./plan.ts";
import { LAB_VARIABLE } from "./process.ts";
import type { HostRecord, LabState } from "./state.ts";

/** To use the lab's datastore from outside its hosts. */
export function datastoreEnvironment(state: LabState): Record<string, string> {
  const { etcdEndpoint } = state.lab;
  return etcdEndpoint === undefined
    ? { DATASTORE_TYPE: "embedded", CALYX_DATASTORE_PATH: join(state.directory, "datastore.db") }
    : { DATASTORE_TYPE: "etcdv3", ETCD_ENDPOINTS: etcdEndpoint };
}

/** Of the host's daemons, and of whatever is run there. Makes the directory that they meet in. */
export function hostEnvironment(state: LabState, host: HostRecord): Record<string, string> {
  const record = state.lab;
  const run = state.hostPath(host.name, "run");
  mkdirSync(run, { recursive: true });
  return {
    [LAB_VARIABLE]: record.name,
    ...datastoreEnvironment(state),
    // On the wire, not on the machine's loopback.
    ...(record.datastore === "etcd" && { ETCD_ENDPOINTS: `http://${FABRIC_ADDRESS}:${ETCD_PORT}` }),
    NODENAME: host.name,
    CALICO_NODENAME_FILE: state.hostPath(host.name, "lib", "nodename"),
    CALYX_RUN_DIR: run,
    CALYX_BIRD_DIR: run,
    CALICO_MTU_FILE: mtuFileOf(state, host.name),
    FELIX_ENDPOINTSTATUSPATHPREFIX: run,
    ...(record.dataplane && {
      FELIX_NFTABLESMODE: record.dataplane === "nftables" ? "Enabled" : "Disabled",
    }),
    IP: `${host.address}/24`,
    IP6: host.address6 === undefined ? "none" : `${host.address6}/64`,
    CALICO_IPV4POOL_CIDR: record.pool,
    ...poolVariables(record.encapsulation),
    ...(record.pool6 && { CALICO_IPV6POOL_CIDR: record.pool6 }),
    ...(host.asn !== undefined && { AS: String(host.asn) }),
  };
}

/** Where felix says which MTU workloads shall have. */
export function mtuFileOf(state: LabState, host: string): string {
  return state.hostPath(host, "lib", "mtu");
}
