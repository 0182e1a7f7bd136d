/** Host endpoints: there must be a way to find the interface. */

import type { HostEndpoint } from "../generated/types.ts";
import type { Report } from "../problem.ts";
import { parseDSCP, SCALARS } from "../scalars.ts";
import { checkEndpointPorts } from "./endpoint-port.ts";
import { isInterfaceName } from "./names.ts";

const DSCP_ANNOTATION = "qos.projectcalico.org/dscp";

export function checkHostEndpoint({ metadata, spec }: HostEndpoint, report: Report): void {
  const { interfaceName, expectedIPs } = spec;
  if (!interfaceName && (!expectedIPs || expectedIPs.length === 0)) {
    report(["spec", "interfaceName"], "neither interfaceName nor expectedIPs is given", "one of them");
  }
  if (interfaceName && interfaceName !== "*" && !isInterfaceName(interfaceName)) {
    report(["spec", "interfaceName"], `"${interfaceName}" is not an interface`, "an interface's name, or *");
  }
  checkEndpointPorts(spec.ports ?? [], ["spec", "ports"], report);
  const dscp = metadata.annotations?.[DSCP_ANNOTATION];
  if (dscp !== undefined && parseDSCP(dscp) === undefined) {
    const { expected } = SCALARS.DSCP;
    report(["metadata", "annotations", DSCP_ANNOTATION], `"${dscp}" is not ${expected}`, expected);
  }
}
