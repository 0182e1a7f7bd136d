/**
 * The configuration file of the standalone mode as a JSON Schema (draft-07): what is checked, what `bgp --schema` prints for editors, and
 * what the tables of docs/bgp-standalone.md are made of. A `default` here is documentation: absent fields stay absent, since
 * a peer's may come from its group and the rest from node-bgp.
 */

import { DYNAMIC_PEER, PEER, PEER_GROUP } from "./peer-schema.ts";
import { POLICY, PREFIX_LIST } from "./policy-schema.ts";
import { asn, flag, type SchemaNode, seconds, text } from "./schema-node.ts";

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
      items: PEER,
    },
    dynamicPeers: {
      type: "array",
      description: "Whoever dials us from a prefix is a peer, with these settings, for as long as it is up.",
      default: "none",
      items: DYNAMIC_PEER,
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
      additionalProperties: PREFIX_LIST,
    },
    groups: {
      type: "object",
      description: "Peer groups by name: settings that several peers share.",
      default: "none",
      additionalProperties: PEER_GROUP,
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
