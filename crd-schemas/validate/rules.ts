/** Which rules across fields each kind has. */

import type { Resource } from "../generated/types.ts";
import type { Report } from "../problem.ts";

export function checkKind(_resource: Resource, _report: Report): void {}
