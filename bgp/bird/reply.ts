/**
 * Lines as BIRD writes them on its control socket: `1002-text` opens a run of one code, ` text` goes on with it, `0000 ` ends the
 * reply, as does any other code followed by a space.
 */

export class Reply {
  #text = "";
  #lastCode = 0;

  /** One more line; a text of several lines is several lines. */
  line(code: number, text: string): this {
    for (const part of text.split("\n")) {
      this.#text += code === this.#lastCode ? ` ${part}\n` : `${digits(code)}-${part}\n`;
      this.#lastCode = code;
    }
    return this;
  }

  /** What has been said so far; to be sent before the rest, where that is long. */
  take(): string {
    const text = this.#text;
    this.#text = "";
    return text;
  }

  /** The last line, and with it the whole. */
  end(code = 0, text = ""): string {
    return `${this.take()}${digits(code)} ${text}\n`;
  }
}

const digits = (code: number) => String(code).padStart(4, "0");

const SHORT_MS = 20 * 3600 * 1000;

/** `iso short`: the time of day within 20 hours, else the date; in this host's time zone. */
export function shortTime(at: number, now: number): string {
  const text = longTime(at);
  return now - at < SHORT_MS ? text.slice(11) : text.slice(0, 10);
}

export function longTime(at: number): string {
  const date = new Date(at);
  const two = (number: number) => String(number).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
