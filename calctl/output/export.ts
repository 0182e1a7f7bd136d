/** `--export`: a resource without what only its own cluster means, so that it can be created in another. */

const CLUSTER_FIELDS = [
  "uid",
  "resourceVersion",
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
  "generation",
  "selfLink",
  "managedFields",
  "ownerReferences",
];

export function exported<R extends { metadata: object; status?: unknown }>(resource: R): R {
  const { status: _, ...rest } = resource;
  const metadata = Object.fromEntries(
    Object.entries(resource.metadata).filter(([key]) => !CLUSTER_FIELDS.includes(key)),
  );
  return { ...rest, metadata } as unknown as R;
}
