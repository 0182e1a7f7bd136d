/**
 * The configuration of this host out of all its sources: FelixConfigurations, for everybody, for nodes with certain labels and for
 * this one; a file; the environment.
 */

import { existsSync, readFileSync } from "node:fs";
import type { FelixConfiguration } from "../crd-schemas/index.ts";
import type { Logger } from "../daemon/log.ts";
import type { Update } from "../datastore/reflector.ts";
import { parseSelector } from "../policy/selector/index.ts";
import {
  type ConfigLayer,
  environmentLayer,
  type FelixConfig,
  fileLayer,
  resolveConfig,
} from "./calc/config.ts";

const CONFIG_FILE = "/etc/calico/felix.cfg";
const IPV6_PARAMETERS = "/proc/sys/net/ipv6";

export interface HostConfigurationOptions {
  readonly nodeName: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly logger: Logger;
}

export class HostConfiguration {
  readonly #options: HostConfigurationOptions;
  readonly #configurations = new Map<string, FelixConfiguration>();
  #nodeLabels: Readonly<Record<string, string>> = {};

  constructor(options: HostConfigurationOptions) {
    this.#options = options;
  }

  /** Whether something among them may have changed it. */
  noteUpdates(updates: readonly Update[]): boolean {
    let touched = false;
    for (const update of updates) {
      if (update.key.kind === "FelixConfiguration") {
        if (update.type === "put")
          this.#configurations.set(update.key.name, update.value as FelixConfiguration);
        else this.#configurations.delete(update.key.name);
        touched = true;
      } else if (update.key.kind === "Node" && update.key.name === this.#options.nodeName) {
        this.#nodeLabels = update.type === "put" ? (update.value.metadata.labels ?? {}) : {};
        touched = true;
      }
    }
    return touched;
  }

  /** What is in force on this host, of all that was told so far; problems are logged. */
  resolve(): FelixConfig {
    const { config, problems } = resolveConfig(this.#layers());
    for (const problem of problems)
      this.#options.logger.error(problem, "a configuration value cannot be read and is ignored");
    // Booted with ipv6.disable=1, a kernel refuses rules for IPv6, and with them would wait those for IPv4.
    return { ...config, ipv6Support: config.ipv6Support && existsSync(IPV6_PARAMETERS) };
  }

  #layers(): ConfigLayer[] {
    const { nodeName, env } = this.#options;
    const layers: ConfigLayer[] = [];
    const add = (name: string) => {
      const resource = this.#configurations.get(name);
      if (resource) layers.push(resourceLayer(resource));
    };
    add("default");
    for (const [name, resource] of [...this.#configurations].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const selector = (resource.spec as { nodeSelector?: string } | undefined)?.nodeSelector;
      if (name === "default" || name.startsWith("node.") || !selector) continue;
      if (this.#isSelected(name, selector)) add(name);
    }
    add(`node.${nodeName}`);
    const file = env["FELIX_CONFIGFILE"] ?? CONFIG_FILE;
    if (existsSync(file)) layers.push(fileLayer(file, readFileSync(file, "utf8")));
    layers.push(environmentLayer(env));
    return layers;
  }

  /** Not everybody who can write to the datastore validates first: one bad selector must not end every agent. */
  #isSelected(name: string, selector: string): boolean {
    try {
      return parseSelector(selector).matches({ get: label => this.#nodeLabels[label] });
    } catch (error) {
      this.#options.logger.error(
        { configuration: name, err: error },
        "a FelixConfiguration's nodeSelector cannot be read",
      );
      return false;
    }
  }
}

/** Spec fields, and parameters without a field, which come as annotations `config.projectcalico.org/<Name>`. */
function resourceLayer(resource: FelixConfiguration): ConfigLayer {
  const values: Record<string, unknown> = { ...resource.spec };
  for (const [name, value] of Object.entries(resource.metadata.annotations ?? {})) {
    if (name.startsWith("config.projectcalico.org/"))
      values[name.slice("config.projectcalico.org/".length)] = value;
  }
  return { source: `FelixConfiguration(${resource.metadata.name})`, values };
}
