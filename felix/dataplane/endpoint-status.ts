/**
 * One file per local endpoint whose policy is in force, for whoever starts workloads and wants to wait for it (CNI's
 * `policy_setup_timeout_seconds`). The directory holds exactly those endpoints.
 */

import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hostCidr } from "../../net/cidr.ts";
import { ipVersion } from "../../net/ip.ts";
import type { LocalEndpoint } from "../calc/changes.ts";

export class EndpointStatus {
  readonly #directory: string;
  readonly #written = new Map<string, string>();

  constructor(prefix: string) {
    this.#directory = join(prefix, "endpoint-status");
  }

  /** Removes what an earlier run said: it may no longer be true. */
  start(): void {
    mkdirSync(this.#directory, { recursive: true });
    for (const name of readdirSync(this.#directory)) rmSync(join(this.#directory, name), { force: true });
  }

  write(endpoint: LocalEndpoint): void {
    const nets = (version: 4 | 6) =>
      endpoint.addresses.filter(address => ipVersion(address) === version).map(hostCidr);
    const content = `${JSON.stringify({
      ifaceName: endpoint.interfaceName,
      mac: endpoint.mac ?? "",
      ipv4Nets: nets(4),
      ipv6Nets: nets(6),
    })}\n`;
    if (this.#written.get(endpoint.id) === content) return;
    const path = join(this.#directory, endpoint.id);
    writeFileSync(`${path}.tmp`, content);
    renameSync(`${path}.tmp`, path);
    this.#written.set(endpoint.id, content);
  }

  remove(id: string): void {
    if (!this.#written.delete(id)) return;
    rmSync(join(this.#directory, id), { force: true });
  }
}
