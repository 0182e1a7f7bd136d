/**
 * The name of a workload endpoint, which is made of what identifies it: dash-joined segments, each segment's
 * own dashes doubled. Whoever looks for the endpoints of a node, or of a pod, lists by the joined prefix.
 *
 * A prefix match alone is not enough: the prefix of pod `web`, `n-k8s-web-`, is also one of pod `web-1`'s
 * names, since `web--1` begins with it. Parse what was found and compare.
 */

/** The fields of a spec that a name is made of; which of them depends on the orchestrator. */
export interface WorkloadEndpointIdentity {
  readonly node?: string;
  readonly orchestrator?: string;
  readonly workload?: string;
  readonly containerID?: string;
  readonly pod?: string;
  readonly endpoint?: string;
}

type IdentityField = keyof WorkloadEndpointIdentity;

/** The fields in the order of their segments. Docker's workloads are told apart by their endpoint alone. */
export function nameFields(orchestrator: string | undefined): readonly IdentityField[] {
  switch (orchestrator) {
    case "k8s":
      return ["node", "orchestrator", "pod", "endpoint"];
    case "cni":
      return ["node", "orchestrator", "containerID", "endpoint"];
    default:
      return ["node", "orchestrator", "workload", "endpoint"];
  }
}

/** The first field that keeps an endpoint from having a name: missing, or with a dash at its end. */
export function unnameableField(identity: WorkloadEndpointIdentity): IdentityField | undefined {
  return nameFields(identity.orchestrator).find(field => !isSegment(segmentOf(identity, field)));
}

/** The endpoint's name, or undefined where {@link unnameableField} finds something. */
export function workloadEndpointName(identity: WorkloadEndpointIdentity): string | undefined {
  if (unnameableField(identity) !== undefined) return undefined;
  return nameFields(identity.orchestrator)
    .map(field => escapeDashes(segmentOf(identity, field)!))
    .join("-");
}

/** What the names of all endpoints begin with that share the leading fields given (node, then orchestrator, ...). */
export function workloadEndpointNamePrefix(identity: WorkloadEndpointIdentity): string {
  let prefix = "";
  for (const field of nameFields(identity.orchestrator)) {
    const value = segmentOf(identity, field);
    if (value === undefined || value === "") break;
    prefix += `${escapeDashes(value)}-`;
  }
  return prefix;
}

/** What a name says; undefined where it has too few segments or too many. */
export function parseWorkloadEndpointName(name: string): WorkloadEndpointIdentity | undefined {
  const segments = splitSegments(name);
  if (segments.length !== 4) return undefined;
  const identity: Record<string, string> = {};
  for (const [i, field] of nameFields(segments[1]).entries()) identity[field] = segments[i]!;
  return identity;
}

function segmentOf(identity: WorkloadEndpointIdentity, field: IdentityField): string | undefined {
  if (field === "workload" && identity.orchestrator === "libnetwork")
    return identity.workload || "libnetwork";
  return identity[field];
}

function isSegment(text: string | undefined): boolean {
  return text !== undefined && text !== "" && !text.startsWith("-") && !text.endsWith("-");
}

function escapeDashes(segment: string): string {
  return segment.replaceAll("-", "--");
}

function splitSegments(name: string): string[] {
  const segments: string[] = [];
  let segment = "";
  for (let i = 0; i < name.length; i++) {
    if (name[i] !== "-") segment += name[i];
    else if (name[i + 1] === "-") {
      segment += "-";
      i++;
    } else {
      segments.push(segment);
      segment = "";
    }
  }
  return [...segments, segment];
}
