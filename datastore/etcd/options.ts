/** How to reach an etcd cluster. */

export interface EtcdOptions {
  /** URLs, `http://host:port` or `https://host:port`; any member will do, the others are tried when it fails. */
  readonly endpoints: readonly string[];
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly tls?: EtcdTls | undefined;
  /** How long one request may take, connecting included. Default 10 s. */
  readonly timeoutMs?: number | undefined;
  /** A silent connection is probed after this time, and given up a third of it later. Default 30 s. */
  readonly keepaliveMs?: number | undefined;
}

/** PEM texts. */
export interface EtcdTls {
  /** Without it the system's authorities are trusted. */
  readonly ca?: Buffer | undefined;
  /** The client's certificate and key: both or none. */
  readonly cert?: Buffer | undefined;
  readonly key?: Buffer | undefined;
}
