/** Which release this is, and of which source: filled in when bundled (setup/bundle.ts). */

import metadata from "../package.json" with { type: "json" };

declare const CALYX_COMMIT: string | undefined;

export const VERSION: string = `v${metadata.version}`;
export const COMMIT: string = typeof CALYX_COMMIT === "string" ? CALYX_COMMIT : "development";

/** The release of Calico's data model that we read and write. */
const DATA_MODEL_MAJOR = 3;

/**
 * Why this client must not work on a cluster of `calicoVersion`, or undefined. Calico's own client refuses any
 * other version than its own; ours speaks the data model of all v3 releases, so only another major differs. No
 * version, or one that is not numbered (a development build), says nothing.
 */
export function versionMismatch(calicoVersion: string | undefined): string | undefined {
  const major = /^v?(\d+)\./.exec(calicoVersion ?? "")?.[1];
  if (major === undefined || Number(major) === DATA_MODEL_MAJOR) return undefined;
  return `version mismatch: the cluster runs ${calicoVersion}, calctl ${VERSION} speaks Calico v${DATA_MODEL_MAJOR}; use --allow-version-mismatch to override`;
}
