/** The schema of routing policies: where one is asked for, and what one is. */

import { type SchemaNode, text } from "./schema-node.ts";

/** The field of a peer that says which policies it has. */
export const policy = (description: string): SchemaNode => ({
  type: ["string", "array", "object"],
  minLength: 1,
  minItems: 1,
  description: `${description} \`accept\`, \`reject\`, the name of one of \`policies\`, a policy, or a list of these, asked in turn.`,
  default: "accept from and to internal peers, reject from and to external ones (RFC 8212)",
});

export const POLICY: SchemaNode = {
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

export const PREFIX_LIST: SchemaNode = { type: ["string", "array"], items: { type: "string" } };
