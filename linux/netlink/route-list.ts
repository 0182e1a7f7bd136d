/** The kernel's routes that a filter lets through: all at once, or in portions. */

import type { IpVersion } from "../../net/ip.ts";
import { isNetlinkError } from "../errors.ts";
import type { Message, MessageWriter } from "./message.ts";
import { matchesFilter, type Route, type RouteFilter, readRoute, writeGetRoutes } from "./route.ts";
import type { NetlinkSocket } from "./socket.ts";

export function listRoutes(socket: NetlinkSocket, version: IpVersion, filter: RouteFilter): Route[] {
  const { operation, write, decode } = query(version, filter);
  try {
    return socket.get(operation, write, decode);
  } catch (error) {
    if (isWithoutRoutes(error, filter)) return [];
    throw error;
  }
}

/** Returns whether the table stayed as it was meanwhile, so that these are all. */
export function* scanRoutes(
  socket: NetlinkSocket,
  version: IpVersion,
  filter: RouteFilter,
): Generator<Route[], boolean, undefined> {
  const { operation, write, decode } = query(version, filter);
  try {
    return !(yield* socket.portions(operation, write, decode));
  } catch (error) {
    if (isWithoutRoutes(error, filter)) return true;
    throw error;
  }
}

function query(version: IpVersion, filter: RouteFilter) {
  return {
    operation: `list IPv${version} routes`,
    write: (writer: MessageWriter) => writeGetRoutes(writer, version, filter),
    /** Older kernels do not filter. */
    decode: (message: Message) => {
      const route = readRoute(message);
      return route !== undefined && matchesFilter(route, filter) ? route : undefined;
    },
  };
}

/** A table without routes does not exist; nor does a link that is gone have any. */
function isWithoutRoutes(error: unknown, filter: RouteFilter): boolean {
  return (
    (filter.table !== undefined && isNetlinkError(error, "ENOENT")) ||
    (filter.interfaceIndex !== undefined && isNetlinkError(error, "ENODEV"))
  );
}
