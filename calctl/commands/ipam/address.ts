import { type Ip, parseIp } from "../../../net/ip.ts";
import { CommandError } from "../../errors.ts";

/** @throws CommandError USAGE */
export function parseAddress(text: string): Ip {
  const ip = parseIp(text);
  if (ip === undefined) throw new CommandError("USAGE", `'${text}' is not an IP address`);
  return ip;
}
