/**
 * The configuration file of the standalone mode as a JSON Schema (draft-07): what is checked, what `bgp --schema` prints for editors, and
 * what the tables of docs/bgp-standalone.md are made of. A `default` here is documentation: absent fields stay absent, since
 * a peer's may come from its group and the rest from node-bgp.
 */

export interface SchemaNode {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | SchemaNode;
  readonly items?: SchemaNode;
  readonly enum?: readonly unknown[];
  readonly [keyword: string]: unknown;
}

const asn = (description: string): SchemaNode => ({
  type: "integer",
  minimum: 1,
  maximum: 4294967295,
  description,
});

const seconds = (minimum: number, maximum: number, description: string, fallback: unknown): SchemaNode => ({
  type: "integer",
  minimum,
  maximum,
  description,
  default: fallback,
});

const text = (description: string): SchemaNode => ({ type: "string", minLength: 1, description });

const flag = (description: string, fallback: unknown = false): SchemaNode => ({
  type: "boolean",
  description,
  default: fallback,
});

const policy = (description: string): SchemaNode => ({
  type: "string",
  enum: ["accept", "reject"],
  description,
  default: "accept from and to internal peers, reject from and to external ones (RFC 8212)",
});

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
    description: "Seconds, 0 or 3 to 65535. The smaller of both sides' counts; 0 means no keepalives.",
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
  import: policy("What we take of the peer's routes."),
  export: policy("What we tell the peer."),
};

const COMMUNITY: SchemaNode = { type: "string", pattern: "^\\d+:\\d+$" };
const LARGE_COMMUNITY: SchemaNode = { type: "string", pattern: "^\\d+:\\d+:\\d+$" };

const NETWORK: SchemaNode = {
  type: ["string", "object"],
  minLength: 1,
  required: ["prefix"],
  additionalProperties: false,
  properties: {
    prefix: text("The prefix, as `192.0.2.0/24` or `2001:db8::/32`."),
    nextHop: { ...text("The next hop of the route."), default: "our address on each session" },
    localPref: {
      type: "integer",
      minimum: 0,
      maximum: 4294967295,
      description: "LOCAL_PREF; internal peers see it.",
      default: 100,
    },
    med: {
      type: "integer",
      minimum: 0,
      maximum: 4294967295,
      description: "MULTI_EXIT_DISC.",
      default: "none",
    },
    origin: {
      type: "string",
      enum: ["igp", "egp", "incomplete"],
      description: "ORIGIN.",
      default: "igp",
    },
    communities: {
      type: "array",
      items: COMMUNITY,
      description: "Communities, each as `64512:100`.",
      default: "none",
    },
    largeCommunities: {
      type: "array",
      items: LARGE_COMMUNITY,
      description: "Large communities (RFC 8092), each as `64512:1:2`.",
      default: "none",
    },
  },
};

export const SCHEMA: SchemaNode = {
  $schema: "http://json-schema.org/draft-07/schema#",
  title: "bgp --config",
  type: "object",
  required: ["as", "routerId"],
  additionalProperties: false,
  properties: {
    as: asn("Our AS number."),
    routerId: text("Our router id (BGP identifier), a dotted quad that no other speaker has."),
    clusterId: {
      ...text("Cluster id of the route reflector, a dotted quad (RFC 4456)."),
      default: "the router id",
    },
    listen: {
      type: ["string", "array", "boolean"],
      minLength: 1,
      minItems: 1,
      items: { type: "string", minLength: 1 },
      description: "The address, or addresses, to accept sessions on; false: only dial.",
      default: "every address",
    },
    port: {
      type: "integer",
      minimum: 1,
      maximum: 65535,
      description: "The port to accept sessions on.",
      default: 179,
    },
    passive: flag("Dial no peer that does not say otherwise."),
    holdTime: {
      type: "integer",
      minimum: 0,
      maximum: 65535,
      description: "Hold time of peers that do not say otherwise: seconds, 0 or 3 to 65535.",
      default: 90,
    },
    keepaliveTime: seconds(
      1,
      65535,
      "Seconds between keepalives, for peers that do not say otherwise.",
      "a third of the negotiated hold time",
    ),
    peers: {
      type: "array",
      description: "The peers.",
      default: "none",
      items: {
        type: "object",
        required: ["address"],
        additionalProperties: false,
        properties: {
          address: text("The peer's IPv4 or IPv6 address; a link-local one with its zone, `fe80::1%eth0`."),
          group: text("The peer group whose settings are this peer's where it says nothing itself."),
          ...PEER_SETTINGS,
        },
      },
    },
    groups: {
      type: "object",
      description: "Peer groups by name: settings that several peers share.",
      default: "none",
      additionalProperties: { type: "object", additionalProperties: false, properties: PEER_SETTINGS },
    },
    networks: {
      type: "array",
      description: "Routes of our own to announce: prefixes, or mappings for more.",
      default: "none",
      items: NETWORK,
    },
    gracefulRestart: {
      type: ["boolean", "object"],
      additionalProperties: false,
      properties: {
        restartTime: seconds(0, 4095, "Seconds peers should keep our routes while we are away.", 120),
        restarting: flag(
          "A start is a restart: say so to the peers (the R bit), and tell nobody anything until they have told us all they have.",
          "true where `stop` is graceful",
        ),
        forwardingPreserved: flag("Forwarding goes on while we are away (the F bit).", true),
        establishWait: seconds(
          0,
          65535,
          "Seconds after which a restart no longer waits for peers that are not there.",
          5,
        ),
        deferralTime: seconds(0, 65535, "Seconds after which a restart waits for nobody any more.", 30),
      },
      description: "Graceful restart (RFC 4724); false: none of it.",
      default: "{}",
    },
    stop: {
      type: "string",
      enum: ["graceful", "shutdown"],
      description:
        "What SIGTERM does: `graceful` closes the sessions without a word, so that peers keep our routes for the restart time; `shutdown` sends Cease/Administrative Shutdown, and they drop them at once.",
      default: "shutdown",
    },
    stopMessage: {
      type: "string",
      maxLength: 255,
      description: "Shutdown communication (RFC 9003) that goes with `shutdown`.",
      default: "none",
    },
    kernel: {
      type: ["boolean", "object"],
      additionalProperties: false,
      properties: {
        metric: {
          type: "integer",
          minimum: 1,
          maximum: 4294967295,
          description: "Metric of the routes.",
          default: 1024,
        },
      },
      description: "Install learned routes into the kernel (protocol 186). Needs root.",
      default: false,
    },
    statusSocket: {
      type: ["string", "boolean"],
      minLength: 1,
      description:
        "Unix socket that `calctl bgp` asks; false: none. Where it cannot be made, a warning is logged and the speaker runs without.",
      default: "`bgp.sock` in `$CALYX_RUN_DIR`, else in /run/calyx",
    },
    birdSocket: {
      ...text(
        "Folder in which `bird.ctl` and `bird6.ctl` are answered as BIRD 1.6 would, for `birdc` and `calicoctl node status`.",
      ),
      default: "none",
    },
    log: {
      type: "string",
      enum: ["debug", "info", "warning", "error", "none"],
      description: "How much is logged on stdout, one JSON line each.",
      default: "info",
    },
  },
};
