/**
 * The two policies that need not look. Both are single functions, so that neighbors given the same one share an update group, and
 * whoever calls policies may know them by identity and skip the call.
 */

import type { RoutePolicy } from "../neighbor.ts";

/** Lets every route pass as it is; towards external neighbors the way to say that this is meant (RFC 8212). */
export const acceptAll: RoutePolicy = route => route;

/** Lets no route pass. */
export const rejectAll: RoutePolicy = () => null;
