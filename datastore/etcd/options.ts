/** How to reach an etcd cluster. */

export interface EtcdOptions {
  /** URLs, `http://host:port` or `https://host:port`; any member will do, the others are tried when it fails. */
  readonly endpoints: readonly string[];
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly tls?: EtcdTls | undefined;
  /** How long one request may take, connecting included. Default 10 s. */
  readonly timeoutMs?: number | undefined;
  /** While something is asked, the connection is probed each time this has passed; without an answer for a third of it, it is given up. Default 30 s. */
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
