/** The shapes of names: DNS-1123 labels and subdomains, label keys and values as Kubernetes has them. */

const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;

export function isLabel(text: string): boolean {
  return text.length <= 63 && LABEL.test(text);
}

export function isSubdomain(text: string): boolean {
  return text.length <= 253 && text.split(".").every(part => LABEL.test(part));
}

const QUALIFIED_NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;

/** `name` or `prefix/name`. */
export function isLabelKey(text: string): boolean {
  const slash = text.indexOf("/");
  if (slash < 0) return QUALIFIED_NAME.test(text);
  return isSubdomain(text.slice(0, slash)) && QUALIFIED_NAME.test(text.slice(slash + 1));
}

export function isLabelValue(text: string): boolean {
  return text === "" || QUALIFIED_NAME.test(text);
}

/** The name of an endpoint's port, which Kubernetes holds to 15 characters. */
export function isPortName(text: string): boolean {
  return text.length <= 15 && LABEL.test(text) && /[a-z]/.test(text) && !text.includes("--");
}

/** The name of a network interface: what the kernel accepts, less what would confuse a command line. */
export function isInterfaceName(text: string): boolean {
  return text.length <= 15 && /^[A-Za-z0-9_.@-]+$/.test(text) && text !== "." && text !== "..";
}
