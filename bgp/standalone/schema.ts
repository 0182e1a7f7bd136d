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
  type: ["string", "array", "object"],
  minLength: 1,
  minItems: 1,
  description: `${description} \`accept\`, \`reject\`, the name of one of \`policies\`, a policy, or a list of these, asked in turn.`,
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

const ONE_OR_MORE_TEXTS: SchemaNode = { type: ["string", "array"], items: { type: "string" } };

const POLICY: SchemaNode = {
  type: "object",
  additionalProperties: false,
  properties: {
    name: text("For explanations."),
    rules: {
      type: "array",
      description: "Rules, asked in turn until one accepts or rejects.",
      items: {
        type: "object",
        required: ["action"],
        additionalProperties: false,
        properties: {
          name: text("For explanations."),
          match: {
            type: "object",
            description: "What must hold of a route: see Policies.",
            default: "every route",
          },
          action: {
            type: "string",
            enum: ["accept", "reject", "next"],
            description: "What happens to a route that matches; `next` keeps what `set` changed and goes on.",
          },
          set: { type: "object", description: "What is changed: see Policies. Not with `reject`." },
        },
      },
    },
    chain: {
      type: "array",
      description: "Instead of rules: policies, by name or as they are, asked in turn.",
      items: { type: ["string", "object"], minLength: 1 },
    },
    otherwise: {
      type: "string",
      enum: ["accept", "reject", "next"],
      description:
        "For a route that no rule has decided about; `next` is the next policy of a chain or list, and after the last one rejects.",
      default: "next",
    },
  },
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
      description: "Hold time of peers that do not say otherwise: seconds, not 1 or 2.",
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
    dynamicPeers: {
      type: "array",
      description: "Whoever dials us from a prefix is a peer, with these settings, for as long as it is up.",
      default: "none",
      items: {
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
      },
    },
    policies: {
      type: "object",
      description: "Policies by name, for `import`, `export` and `chain`.",
      default: "none",
      additionalProperties: POLICY,
    },
    prefixLists: {
      type: "object",
      description:
        "Lists of prefixes by name, for `prefixes` in policies, each as there: `10.0.0.0/8 ge 16 le 24`.",
      default: "none",
      additionalProperties: ONE_OR_MORE_TEXTS,
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
        notification: flag("Sessions ended by a NOTIFICATION restart gracefully too (RFC 8538).", true),
        longLivedStaleTime: seconds(
          0,
          16777215,
          "Seconds peers should keep our routes beyond the restart time (RFC 9494); 0: not long-lived.",
          0,
        ),
        forwardingPreserved: flag("Forwarding goes on while we are away (the F bit).", true),
        establishWait: seconds(
          0,
          65535,
          "Seconds after which a restart no longer waits for peers that are not there.",
          5,
        ),
        deferralTime: seconds(0, 65535, "Seconds after which a restart waits for nobody any more.", 30),
        resyncTime: seconds(
          1,
          65535,
          "Seconds a peer's routes are kept beyond its restart time until it has sent them again.",
          360,
        ),
      },
      description: "Graceful restart (RFC 4724); false: none of it.",
      default: "{}",
    },
    multipath: {
      type: "object",
      additionalProperties: false,
      description: "Which paths share traffic.",
      default: "{}",
      properties: {
        maxPaths: {
          type: "integer",
          minimum: 1,
          maximum: 255,
          description: "At most so many paths of a prefix; 1: the best one only.",
          default: 64,
        },
        relaxAsPath: flag(
          "AS paths need only be of equal length, where otherwise the neighboring AS must be the same too.",
          true,
        ),
      },
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
        table: {
          type: "integer",
          minimum: 1,
          maximum: 4294967295,
          description: "Routing table the routes go into; next hops are looked up in the main one.",
          default: 254,
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
    bmp: {
      type: "object",
      required: ["collectors"],
      additionalProperties: false,
      description: "Collectors that are told what the peers send (BMP, RFC 7854).",
      default: "none",
      properties: {
        collectors: {
          type: "array",
          minItems: 1,
          description: "The collectors; we dial them.",
          items: {
            type: "object",
            required: ["address", "port"],
            additionalProperties: false,
            properties: {
              address: text("The collector's address."),
              port: { type: "integer", minimum: 1, maximum: 65535, description: "The collector's port." },
              view: {
                type: "string",
                enum: ["pre-policy", "post-policy", "both"],
                description: "Routes as the peers send them, as our import policies leave them, or both.",
                default: "pre-policy",
              },
              localAddress: { ...text("Our address on the connection."), default: "what the kernel chooses" },
            },
          },
        },
        systemName: { ...text("What we call ourselves."), default: "empty" },
        statisticsInterval: seconds(0, 86400, "Seconds between statistics reports; 0: none.", 0),
      },
    },
    metrics: {
      ...text(
        "Address and port on which Prometheus finds metrics, as `127.0.0.1:9179` or `[::1]:9179`, under /metrics.",
      ),
      pattern: "^(\\[[0-9a-fA-F:.]+\\]|[^:]*):\\d+$",
      default: "none; the status socket has them too",
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
