import assert from "node:assert/strict";
import { ConfigError, connect, DEFAULT_CONFIG_FILE, datastoreConfig } from "../../../datastore/config.ts";
import { discover } from "../../../datastore/etcd/discovery.ts";

const none = () => undefined;
const fromEnv = (env: Record<string, string>) => datastoreConfig({ env, readFile: none });
const fromFile = (text: string) =>
  datastoreConfig({
    env: {},
    configFile: "my.cfg",
    readFile: path => (path === "my.cfg" ? text : undefined),
  });
const fails = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof ConfigError, String(error));
  assert.match(error.message, message);
  return true;
};

describe("datastore/config", () => {
  it("is embedded where nothing is said", () => {
    assert.deepEqual(fromEnv({}), { type: "embedded", path: "/var/lib/calyx/datastore.db" });
    assert.deepEqual(fromEnv({ CALYX_DATASTORE_PATH: "/tmp/x.db" }), { type: "embedded", path: "/tmp/x.db" });
  });

  it("is etcd where endpoints are given, Kubernetes where a kubeconfig is", () => {
    assert.deepEqual(fromEnv({ ETCD_ENDPOINTS: "http://a:2379, b ,http://[fd00::1]/" }), {
      type: "etcdv3",
      endpoints: ["http://a:2379", "http://b:2379", "http://[fd00::1]:2379"],
    });
    assert.equal(fromEnv({ ETCD_DISCOVERY_SRV: "example.org" }).type, "etcdv3");
    assert.equal(fromEnv({ KUBECONFIG: "/root/.kube/config" }).type, "kubernetes");
    assert.equal(fromEnv({ KUBECONFIG: "/k", DATASTORE_TYPE: "embedded" }).type, "embedded");
    assert.equal(fromEnv({ KUBECONFIG: "/k", ETCD_ENDPOINTS: "http://a" }).type, "etcdv3");
  });

  it("takes each variable plain or with CALICO_, the plain one first", () => {
    const tls = { ETCD_CA_CERT_FILE: "/ca", CALICO_ETCD_CERT_FILE: "/cert", ETCD_KEY_FILE: "/key" };
    assert.deepEqual(
      fromEnv({
        CALICO_DATASTORE_TYPE: "etcdv3",
        CALICO_ETCD_ENDPOINTS: "https://a:1",
        ETCD_USERNAME: "u",
        CALICO_ETCD_USERNAME: "not me",
        ETCD_PASSWORD: "p",
        ...tls,
      }),
      {
        type: "etcdv3",
        endpoints: ["https://a:1"],
        username: "u",
        password: "p",
        ca: { file: "/ca" },
        cert: { file: "/cert" },
        key: { file: "/key" },
      },
    );
  });

  it("reads calicoctl's file, new and old, and the inline certificates only files have", () => {
    const v3 = `apiVersion: projectcalico.org/v3
kind: CalicoAPIConfig
metadata:
spec:
  datastoreType: "etcdv3"
  etcdEndpoints: "https://etcd1:2379,https://etcd2:2379"
  etcdCACert: |
    -----BEGIN CERTIFICATE-----
`;
    assert.deepEqual(fromFile(v3), {
      type: "etcdv3",
      endpoints: ["https://etcd1:2379", "https://etcd2:2379"],
      ca: { pem: "-----BEGIN CERTIFICATE-----\n" },
    });
    const v1 = `apiVersion: v1
kind: calicoApiConfig
metadata:
spec:
  datastoreType: "etcdv2"
  etcdAuthority: "10.96.232.136:6666"
`;
    assert.deepEqual(fromFile(v1), { type: "etcdv3", endpoints: ["http://10.96.232.136:6666"] });
    const kubernetes = `apiVersion: projectcalico.org/v3
kind: CalicoAPIConfig
spec: { datastoreType: kubernetes, kubeconfig: /k, k8sClientQPS: 50, etcdEndpoints: "" }`;
    assert.deepEqual(fromFile(kubernetes), {
      type: "kubernetes",
      settings: { kubeconfig: "/k", k8sClientQPS: "50" },
    });
    const embedded = `{apiVersion: projectcalico.org/v3, kind: CalicoAPIConfig, spec: {datastorePath: /x.db}}`;
    assert.deepEqual(fromFile(embedded), { type: "embedded", path: "/x.db" });
  });

  it("prefers the named file to the environment, and that to the file at its usual place", () => {
    const cfg = (url: string) =>
      `{apiVersion: projectcalico.org/v3, kind: CalicoAPIConfig, spec: {etcdEndpoints: "${url}"}}`;
    const files: Record<string, string> = {
      named: cfg("http://named:1"),
      [DEFAULT_CONFIG_FILE]: cfg("http://usual:1"),
    };
    const readFile = (path: string) => files[path];
    const env = { ETCD_ENDPOINTS: "http://env:1" };
    const endpoint = (sources: object) => {
      const config = datastoreConfig({ env: {}, readFile, ...sources });
      return config.type === "etcdv3" ? config.endpoints[0] : config.type;
    };
    assert.equal(endpoint({ env, configFile: "named" }), "http://named:1");
    assert.equal(endpoint({ env }), "http://env:1");
    assert.equal(endpoint({ env: { KUBECONFIG: "/for/kubectl" } }), "http://usual:1");
    assert.equal(endpoint({}), "http://usual:1");
  });

  it("says what is wrong, and where", () => {
    assert.throws(() => fromEnv({ DATASTORE_TYPE: "etcdv2" }), fails(/^DATASTORE_TYPE: .*"etcdv2"/));
    assert.throws(() => fromEnv({ DATASTORE_TYPE: "etcdv3" }), fails(/^ETCD_ENDPOINTS: no etcd endpoints/));
    assert.throws(() => fromEnv({ ETCD_ENDPOINTS: "ftp://a" }), fails(/^ETCD_ENDPOINTS: "ftp:\/\/a"/));
    assert.throws(() => fromEnv({ ETCD_ENDPOINTS: "http://a,https://b" }), fails(/all http or all https/));
    assert.throws(
      () => fromEnv({ ETCD_ENDPOINTS: "https://a", ETCD_KEY_FILE: "/k" }),
      fails(/needs its key/),
    );
    const mixed = "spec: {etcdEndpoints: 'https://a', etcdCACertFile: /ca, etcdCert: x, etcdKey: y}";
    const head = "apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\n";
    assert.throws(() => fromFile(head + mixed), fails(/^my.cfg: spec.etcdCertFile: .*files or inline/));
    assert.throws(
      () => fromFile(`${head}spec: {etcdEndpoint: x}`),
      fails(/^my.cfg: spec.etcdEndpoint: unknown/),
    );
    assert.throws(
      () => fromFile(`${head}spec: {etcdEndpoints: [a]}`),
      fails(/etcdEndpoints: expected a text/),
    );
    assert.throws(() => fromFile("kind: Tier"), fails(/^my.cfg: this is not a calicoctl configuration/));
    assert.throws(() => fromFile("a: [\nb"), fails(/^my.cfg:\d+:\d+: this is not YAML/));
    assert.throws(
      () => datastoreConfig({ env: {}, configFile: "gone", readFile: none }),
      fails(/^gone: there is no such file/),
    );
  });

  it("names the certificate file that cannot be read", async () => {
    const config = fromEnv({ ETCD_ENDPOINTS: "https://127.0.0.1:1", ETCD_CA_CERT_FILE: "/no/such/ca.pem" });
    await assert.rejects(connect(config), fails(/^\/no\/such\/ca.pem: .*ENOENT/));
  });

  it("says that Kubernetes is not there yet", async () => {
    await assert.rejects(connect(fromEnv({ KUBECONFIG: "/k" })), /not built yet/);
  });

  it("finds etcd in DNS, with TLS first", async () => {
    const records: Record<string, { name: string; port: number }[]> = {
      "_etcd-client-ssl._tcp.secure.org": [{ name: "e1.secure.org", port: 2379 }],
      "_etcd-client._tcp.plain.org": [{ name: "e1.plain.org", port: 4001 }],
    };
    const lookup = async (name: string) => {
      const found = records[name];
      if (!found) throw new Error("ENOTFOUND");
      return found;
    };
    assert.deepEqual(await discover("secure.org", lookup), ["https://e1.secure.org:2379"]);
    assert.deepEqual(await discover("plain.org", lookup), ["http://e1.plain.org:4001"]);
    await assert.rejects(discover("none.org", lookup), /no etcd is announced in DNS for the domain none.org/);
  });
});
