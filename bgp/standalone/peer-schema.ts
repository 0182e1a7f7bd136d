/** The schema of peers, of those that dial us from a prefix, and of groups of peers. */

import { policy } from "./policy-schema.ts";
import { asn, flag, type SchemaNode, seconds, text } from "./schema-node.ts";

const FAMILY: SchemaNode = { type: "string", enum: ["ipv4-unicast", "ipv6-unicast"] };

/** What a peer may say itself or inherit from its group. */
const PEER_SETTINGS: Readonly<Record<string, SchemaNode>> = {
  as: asn("The peer's AS number. The same as ours makes it an internal peer."),
  localAs: { ...asn("The AS number we show to this peer."), default: "`as` of the speaker" },
  description: text("Free text, shown in status and log."),
  port: {
    type: "integer",
    minimum: 1,
    maximum: 65535,
    description: "The port we dial.",
    default: 179,
  },
  localAddress: { ...text("Our address on the session."), default: "what the kernel chooses" },
  nextHopSelf: {
    type: "object",
    description:
      "Our next hop per family, for routes of our own and where `nextHopMode` says self. Needed to send IPv6 routes over an IPv4 session and the reverse.",
    default: "our address on the session",
    properties: { ipv4: text("An IPv4 address."), ipv6: text("An IPv6 address.") },
    additionalProperties: false,
  },
  nextHopMode: {
    type: "string",
    enum: ["auto", "self", "keep"],
    description:
      "The next hop we send: `auto` ours to external peers and unchanged to internal ones, `self` always ours, `keep` always unchanged.",
    default: "auto",
  },
  rrClient: flag("The peer is our route reflector client (RFC 4456). Internal peers only."),
  passive: flag("Do not dial, wait to be dialled.", "`passive` of the speaker"),
  passiveFallback: seconds(1, 65535, "Seconds after which a passive peer is dialled nevertheless.", "never"),
  password: {
    type: "string",
    minLength: 1,
    maxLength: 80,
    description: "Key of TCP MD5 (RFC 2385), at most 80 bytes. Better in a file of its own: `passwordFile`.",
  },
  passwordFile: text(
    "A file whose first line is the key of TCP MD5; relative to the configuration file. Read again at each reload.",
  ),
  ttlSecurity: {
    type: "integer",
    minimum: 1,
    maximum: 254,
    description: "GTSM (RFC 5082): how many hops away the peer may be, 1 meaning on our link.",
    default: "no check",
  },
  holdTime: {
    type: "integer",
    minimum: 0,
    maximum: 65535,
    description: "Seconds, not 1 or 2. The smaller of both sides' counts; 0 means no keepalives.",
    default: "`holdTime` of the speaker",
  },
  keepaliveTime: seconds(1, 65535, "Seconds between keepalives.", "a third of the negotiated hold time"),
  connectRetryTime: seconds(1, 65535, "Seconds between dials, jittered down to 75 %.", 5),
  sendHoldTime: seconds(
    1,
    65535,
    "Seconds without progress in sending after which the session is given up (RFC 9687).",
    "the larger of 480 and twice the hold time",
  ),
  gracefulRestartTime: seconds(
    0,
    4095,
    "Seconds the peer should keep our routes while we restart (RFC 4724); 0: no graceful restart with this peer.",
    "`gracefulRestart.restartTime`",
  ),
  allowedLocalAs: {
    type: "integer",
    minimum: 0,
    maximum: 255,
    description: "How often our own AS may appear in a received AS path.",
    default: 0,
  },
  families: {
    type: "array",
    minItems: 1,
    uniqueItems: true,
    items: FAMILY,
    description: "Address families of the session.",
    default: "the family of `address`",
  },
  interface: {
    ...text("The interface the peer is behind: we dial from it and accept the peer only from it."),
    default: "the zone of `address`, else any",
  },
  delayOpenTime: seconds(
    0,
    65535,
    "Seconds to wait, once connected, for the peer's OPEN before sending ours.",
    0,
  ),
  longLivedStaleTime: seconds(
    0,
    16777215,
    "Seconds the peer should keep our routes after the restart time, as a last resort (RFC 9494), and we its routes.",
    "`gracefulRestart.longLivedStaleTime`",
  ),
  extendedMessages: flag("Messages of up to 65535 bytes where the peer takes them (RFC 8654).", true),
  enhancedRefresh: flag("What a refresh does not bring again goes (RFC 7313).", true),
  extendedNextHop: flag(
    "IPv4 routes may have IPv6 next hops (RFC 8950).",
    "true where `address` is IPv6 and `families` has IPv4",
  ),
  addPath: {
    type: "object",
    additionalProperties: false,
    description: "Several paths for one prefix (RFC 7911).",
    default: "neither way",
    properties: {
      receive: flag("Take several paths for one prefix."),
      send: {
        type: ["integer", "string"],
        minimum: 1,
        maximum: 255,
        pattern: "^all$",
        description: "Send the best so many paths for one prefix, or `all`.",
        default: 1,
      },
    },
  },
  maxPrefixes: {
    type: ["integer", "object"],
    minimum: 1,
    additionalProperties: false,
    description: "How many prefixes of one family the peer may send; a number ends the session above it.",
    default: "no limit",
    properties: {
      limit: { type: "integer", minimum: 1, description: "Prefixes of one family." },
      action: {
        type: "string",
        enum: ["reset", "warn"],
        description: "What happens above it: the session is reset (RFC 4486), or the log says so.",
        default: "reset",
      },
      warnAt: {
        type: "integer",
        minimum: 1,
        maximum: 100,
        description: "Percent of the limit above which the log warns.",
        default: 75,
      },
      restartAfter: {
        type: ["integer", "string"],
        minimum: 1,
        maximum: 65535,
        pattern: "^never$",
        description:
          "Seconds after a reset before the session may come back, or `never`: until `calctl bgp reset`.",
        default: "as after any error, at most a minute",
      },
    },
    required: ["limit"],
  },
  gracefulShutdown: flag(
    "GRACEFUL_SHUTDOWN (RFC 8326): traffic is to move away from this session before it is shut down. What we send carries the community, what we take gets LOCAL_PREF 0.",
  ),
  bfd: {
    type: ["boolean", "object"],
    additionalProperties: false,
    description: "Watch the peer by BFD (RFC 5882) and end the session when it says down.",
    default: false,
    properties: {
      transmitInterval: {
        type: "integer",
        minimum: 10,
        maximum: 60000,
        description: "Milliseconds between the packets we would like to send.",
        default: 300,
      },
      receiveInterval: {
        type: "integer",
        minimum: 10,
        maximum: 60000,
        description: "Milliseconds between the packets we can take.",
        default: 300,
      },
      multiplier: {
        type: "integer",
        minimum: 1,
        maximum: 255,
        description: "Packets missed until it is down.",
        default: 3,
      },
      multihop: flag(
        "Multihop (RFC 5883).",
        "true where `ttlSecurity` is above 1, or not set and the peer is internal; never by a link-local address",
      ),
      pollInterval: {
        type: "integer",
        minimum: 0,
        maximum: 3600000,
        description: "Milliseconds between measurements of the round trip, 0 for none.",
        default: 10000,
      },
      strict: flag("No session while BFD is not up."),
      keepRoutes: flag(
        "When BFD says down, keep the peer's routes as after a lost connection, where graceful restart was negotiated.",
      ),
    },
  },
  softReconfiguration: flag(
    "Keep what the peer sent as it sent it: a new import policy needs no refresh, and `calctl bgp routes --received` shows what it refuses.",
  ),
  import: policy("What we take of the peer's routes:"),
  export: policy("What we tell the peer:"),
};

const DIALLING = ["port", "passive", "passiveFallback", "connectRetryTime", "as"];

/** A peer that dials us has no settings of our dialling. */
const ACCEPTED_SETTINGS = Object.fromEntries(
  Object.entries(PEER_SETTINGS).filter(([name]) => !DIALLING.includes(name)),
);

const AS_RANGE: SchemaNode = {
  type: ["integer", "string"],
  minimum: 1,
  maximum: 4294967295,
  pattern: "^\\d+-\\d+$",
};

export const PEER: SchemaNode = {
  type: "object",
  required: ["address"],
  additionalProperties: false,
  properties: {
    address: text("The peer's IPv4 or IPv6 address; a link-local one with its zone, `fe80::1%eth0`."),
    group: text("The peer group whose settings are this peer's where it says nothing itself."),
    ...PEER_SETTINGS,
  },
};

/** Neighbors that dial us from a prefix. */
export const DYNAMIC_PEER: SchemaNode = {
  type: "object",
  required: ["prefix", "as"],
  additionalProperties: false,
  properties: {
    prefix: text("Where they dial from. `fe80::/10` with `interface` for whoever is on a link."),
    as: {
      ...AS_RANGE,
      type: ["integer", "string", "array"],
      minItems: 1,
      items: AS_RANGE,
      description: "The AS numbers they may have: a number, a range `64512-65534`, or a list of these.",
    },
    limit: {
      type: "integer",
      minimum: 1,
      maximum: 65535,
      description: "At most so many at a time.",
      default: 100,
    },
    group: text("The peer group whose settings are theirs, but for those about dialling."),
    ...ACCEPTED_SETTINGS,
  },
};

export const PEER_GROUP: SchemaNode = {
  type: "object",
  additionalProperties: false,
  properties: PEER_SETTINGS,
};
