/**
 * With what the names of workload interfaces begin, as felix has it: the environment over FelixConfiguration `node.<name>`
 * over `default`. Those with a selector are for felix alone. Pure.
 */

import type { FelixConfiguration } from "../crd-schemas/index.ts";

const DEFAULT_PREFIX = "cali";

/** `environment` is FELIX_INTERFACEPREFIX. */
export function interfacePrefixes(
  configurations: ReadonlyMap<string, FelixConfiguration>,
  nodeName: string,
  environment: string | undefined,
): string[] {
  const configured = [`node.${nodeName}`, "default"].map(name => prefixOf(configurations.get(name)));
  const text = [environment, ...configured].find(Boolean) ?? DEFAULT_PREFIX;
  return text
    .split(",")
    .map(prefix => prefix.trim())
    .filter(Boolean);
}

/** Felix takes of a FelixConfiguration what it can read, so it is not validated whole. */
function prefixOf(configuration: FelixConfiguration | undefined): string | undefined {
  const prefix: unknown = configuration?.spec?.interfacePrefix;
  return typeof prefix === "string" ? prefix : undefined;
}
