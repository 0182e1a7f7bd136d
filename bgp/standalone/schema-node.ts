/** What the schema of the configuration file is written in: a node of JSON Schema, and the kinds of field that come again and again. */

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

export const asn = (description: string): SchemaNode => ({
  type: "integer",
  minimum: 1,
  maximum: 4294967295,
  description,
});

export const seconds = (
  minimum: number,
  maximum: number,
  description: string,
  fallback: unknown,
): SchemaNode => ({
  type: "integer",
  minimum,
  maximum,
  description,
  default: fallback,
});

export const text = (description: string): SchemaNode => ({ type: "string", minLength: 1, description });

export const flag = (description: string, fallback: unknown = false): SchemaNode => ({
  type: "boolean",
  description,
  default: fallback,
});
