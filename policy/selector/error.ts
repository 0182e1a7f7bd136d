/** Text that is no selector: where it goes wrong and what could have stood there. */
export class SelectorError extends Error {
  readonly code = "INVALID_SELECTOR";
  readonly text: string;
  /** Position in `text`, in UTF-16 units from 0; `text.length` where the text ends too early. */
  readonly offset: number;
  readonly expected: string;

  constructor(text: string, offset: number, expected: string) {
    const found =
      offset < text.length ? `found ${JSON.stringify(text.slice(offset, offset + 12))}` : "it ends";
    super(`selector ${JSON.stringify(text)}: expected ${expected} at offset ${offset}, ${found}`);
    this.name = "SelectorError";
    this.text = text;
    this.offset = offset;
    this.expected = expected;
  }
}
