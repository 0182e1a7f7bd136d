/**
 * A transaction: what is in it happens as a whole or not at all. Messages are written one after the other as they are
 * asked for, to be sent with one call (nf-tables.ts); each remembers what it was for, so that the kernel's refusal can
 * be told in words.
 *
 * Order matters: a chain or set before the rules and elements that name it, and it can go only after them. Within one
 * batch a chain may be flushed and filled again: no packet sees it empty.
 */

import { Flag, MessageWriter } from "../netlink/message.ts";
import {
  BatchType,
  ChainAttribute,
  ElementListAttribute,
  FAMILIES,
  type Family,
  MessageType,
  RuleAttribute,
  SetAttribute,
  TableAttribute,
} from "./constants.ts";
import { writeChain, writeElements, writeRule, writeSet, writeTable } from "./message-writer.ts";
import type { Chain, Element, NftSet, Rule, Table, TableRef } from "./model.ts";

/** NFNL_BATCH_GENID */
const BATCH_GENERATION = 1;
const NFNL_SUBSYS_NFTABLES = 10;

export class Batch {
  readonly #writer = new MessageWriter();
  readonly #messages: { readonly operation: string; readonly start: number }[] = [];
  readonly #ifGeneration: number;
  #sets = 0;
  #sealed = false;

  /** `ifGeneration`: refused (ERESTART) where anybody has committed since that generation was read. */
  constructor(options: { readonly ifGeneration?: number } = {}) {
    this.#ifGeneration = options.ifGeneration ?? 0; // 0 is never a generation, and asks for none.
    this.#frame(BatchType.BEGIN, Flag.REQUEST, 0);
  }

  /** How many things it does. */
  get size(): number {
    return this.#messages.length;
  }

  /** Makes it, or changes the flags of the one that is there. */
  addTable(table: Table): void {
    this.#begin(MessageType.NEWTABLE, Flag.CREATE, table.family, `add table ${describe(table)}`);
    writeTable(this.#writer, table);
    this.#writer.end();
  }

  /** With everything in it. */
  deleteTable(table: TableRef): void {
    this.#begin(MessageType.DELTABLE, 0, table.family, `delete table ${describe(table)}`);
    this.#writer.attributeString(TableAttribute.NAME, table.name);
    this.#writer.end();
  }

  /** No error where it is there already. */
  addChain(table: TableRef, chain: Chain): void {
    this.#begin(
      MessageType.NEWCHAIN,
      Flag.CREATE,
      table.family,
      `add chain ${chain.name} to ${describe(table)}`,
    );
    writeChain(this.#writer, table.name, chain);
    this.#writer.end();
  }

  /** It has to be empty, or emptied before, and nothing may jump to it. */
  deleteChain(table: TableRef, chain: string): void {
    this.#begin(MessageType.DELCHAIN, 0, table.family, `delete chain ${chain} of ${describe(table)}`);
    this.#writer.attributeString(ChainAttribute.TABLE, table.name);
    this.#writer.attributeString(ChainAttribute.NAME, chain);
    this.#writer.end();
  }

  /** Deletes all its rules. */
  flushChain(table: TableRef, chain: string): void {
    this.#begin(MessageType.DELRULE, 0, table.family, `flush chain ${chain} of ${describe(table)}`);
    this.#writer.attributeString(RuleAttribute.TABLE, table.name);
    this.#writer.attributeString(RuleAttribute.CHAIN, chain);
    this.#writer.end();
  }

  /** At the end of the chain. */
  addRule(table: TableRef, chain: string, rule: Rule): void {
    this.#begin(
      MessageType.NEWRULE,
      Flag.CREATE | Flag.APPEND,
      table.family,
      `add a rule to chain ${chain} of ${describe(table)}`,
    );
    writeRule(this.#writer, table.name, chain, rule);
    this.#writer.end();
  }

  /** At the beginning of the chain, or before the rule with the handle. */
  insertRule(table: TableRef, chain: string, rule: Rule, before?: bigint): void {
    this.#begin(
      MessageType.NEWRULE,
      Flag.CREATE,
      table.family,
      `insert a rule into chain ${chain} of ${describe(table)}`,
    );
    writeRule(this.#writer, table.name, chain, rule, before === undefined ? {} : { position: before });
    this.#writer.end();
  }

  /** The new rule takes the place of the old one, under a new handle and with counters of zero. */
  replaceRule(table: TableRef, chain: string, handle: bigint, rule: Rule): void {
    this.#begin(
      MessageType.NEWRULE,
      Flag.REPLACE,
      table.family,
      `replace rule ${handle} of chain ${chain} of ${describe(table)}`,
    );
    writeRule(this.#writer, table.name, chain, rule, { handle });
    this.#writer.end();
  }

  deleteRule(table: TableRef, chain: string, handle: bigint): void {
    this.#begin(
      MessageType.DELRULE,
      0,
      table.family,
      `delete rule ${handle} of chain ${chain} of ${describe(table)}`,
    );
    this.#writer.attributeString(RuleAttribute.TABLE, table.name);
    this.#writer.attributeString(RuleAttribute.CHAIN, chain);
    this.#writer.attributeU64BigEndian(RuleAttribute.HANDLE, handle);
    this.#writer.end();
  }

  /** No error where one of the same kind is there already. */
  addSet(table: TableRef, set: NftSet): void {
    this.#begin(MessageType.NEWSET, Flag.CREATE, table.family, `add set ${set.name} to ${describe(table)}`);
    writeSet(this.#writer, table.name, set, ++this.#sets);
    this.#writer.end();
  }

  /** With its elements; no rule may use it. */
  deleteSet(table: TableRef, set: string): void {
    this.#begin(MessageType.DELSET, 0, table.family, `delete set ${set} of ${describe(table)}`);
    this.#writer.attributeString(SetAttribute.TABLE, table.name);
    this.#writer.attributeString(SetAttribute.NAME, set);
    this.#writer.end();
  }

  /** Deletes all its elements. */
  flushSet(table: TableRef, set: string): void {
    this.#begin(MessageType.DELSETELEM, 0, table.family, `flush set ${set} of ${describe(table)}`);
    this.#writer.attributeString(ElementListAttribute.TABLE, table.name);
    this.#writer.attributeString(ElementListAttribute.SET, set);
    this.#writer.end();
  }

  /** One that is there already is no error if it says the same. Ranges must not overlap. */
  addElements(table: TableRef, set: NftSet, elements: readonly Element[]): void {
    for (let at = 0; at < elements.length; ) {
      this.#begin(
        MessageType.NEWSETELEM,
        Flag.CREATE,
        table.family,
        `add elements to set ${set.name} of ${describe(table)}`,
      );
      at = writeElements(this.#writer, table.name, set, elements, at);
      this.#writer.end();
    }
  }

  /** One that is not there makes the whole batch fail. */
  deleteElements(table: TableRef, set: NftSet, elements: readonly Element[]): void {
    for (let at = 0; at < elements.length; ) {
      this.#begin(
        MessageType.DELSETELEM,
        0,
        table.family,
        `delete elements of set ${set.name} of ${describe(table)}`,
      );
      at = writeElements(this.#writer, table.name, set, elements, at);
      this.#writer.end();
    }
  }

  /** The whole transaction as bytes. The n-th message, counted from 1, has sequence n; only the last, one further, asks for an answer. */
  seal(): Uint8Array {
    if (!this.#sealed) this.#frame(BatchType.END, Flag.REQUEST | Flag.ACK, this.#messages.length + 1);
    this.#sealed = true;
    return this.#writer.bytes;
  }

  /** What the message with this sequence does, and where it begins and ends in {@link seal}'s bytes. */
  message(sequence: number): { operation: string; start: number; end: number } | undefined {
    const message = this.#messages[sequence - 1];
    return message && { ...message, end: this.#messages[sequence]?.start ?? this.#writer.length };
  }

  #begin(type: number, flags: number, family: Family, operation: string): void {
    if (this.#sealed) throw new Error(`${operation}: the batch has been committed already`);
    this.#messages.push({ start: this.#writer.length, operation });
    this.#writer.begin(type, Flag.REQUEST | flags, this.#messages.length);
    this.#writer.u32(FAMILIES[family]); // struct nfgenmsg: version and resource id are 0.
  }

  #frame(type: number, flags: number, sequence: number): void {
    this.#writer.begin(type, flags, sequence);
    this.#writer.u32(NFNL_SUBSYS_NFTABLES << 24); // As resource id, in network order.
    if (type === BatchType.BEGIN) this.#writer.attributeU32BigEndian(BATCH_GENERATION, this.#ifGeneration);
    this.#writer.end();
  }
}

const describe = ({ family, name }: TableRef): string => `${family} ${name}`;
