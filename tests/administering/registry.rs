//! Components from OCI registries: a real one on loopback, and ones that lie.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
};

use super::{digest, done, listed, version};
use crate::support::{Authority, Setup, patiently};

/// `tide:s3cret`, as the registry keeps it.
const PASSWORD_FILE: &str = "tide:$2y$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The program of Debian's package, as `cargo xtask test` unpacks it.
fn program() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let unpacked = root.join("target/peers/registry/usr/bin/docker-registry");
    if unpacked.exists() { unpacked } else { "docker-registry".into() }
}

/// A registry with nothing in it; ends when dropped.
struct Registry {
    address: SocketAddr,
    _child: Child,
    _dir: tempfile::TempDir,
}

impl Registry {
    /// Starts one; with `closed`, it asks for a password.
    async fn start(closed: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let passwords = dir.path().join("passwords");
        std::fs::write(&passwords, PASSWORD_FILE).unwrap();
        let auth = if closed {
            format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", passwords.display())
        } else {
            String::new()
        };
        let settings = dir.path().join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{inmemory: {{}}}}\n\
             http: {{addr: \"127.0.0.1:0\", secret: test}}\n{auth}"
        );
        std::fs::write(&settings, text).unwrap();
        let mut command = Command::new(program());
        command.arg("serve").arg(&settings).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("`cargo xtask test` unpacks docker-registry");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = patiently("the registry's start", async {
            loop {
                let line = lines.next_line().await.unwrap().expect("the registry has ended");
                if let Some((_, rest)) = line.split_once("listening on ") {
                    break rest.split('"').next().unwrap().parse().unwrap();
                }
            }
        })
        .await;
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { address, _child: child, _dir: dir }
    }

    async fn send(&self, method: Method, path: &str, kind: &str, body: Vec<u8>) -> Response<Bytes> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.address.to_string())
            .header("authorization", "Basic dGlkZTpzM2NyZXQ=")
            .header("content-type", kind)
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let response = patiently("the registry", sender.send_request(request)).await.unwrap();
        let (head, body) = response.into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    }

    async fn push_blob(&self, repository: &str, bytes: &[u8]) -> String {
        let path = format!("/v2/{repository}/blobs/uploads/");
        let begun = self.send(Method::POST, &path, "", Vec::new()).await;
        assert_eq!(begun.status(), StatusCode::ACCEPTED, "{begun:?}");
        let location = begun.headers()["location"].to_str().unwrap();
        let path = location.split_once("/v2/").unwrap().1;
        let digest = sha(bytes);
        let path = format!("/v2/{path}&digest={digest}");
        let pushed = self.send(Method::PUT, &path, "application/octet-stream", bytes.into()).await;
        assert_eq!(pushed.status(), StatusCode::CREATED, "{pushed:?}");
        digest
    }

    /// Pushes an artifact with this component; the digest of its manifest.
    async fn push(
        &self,
        name: &str,
        tag: &str,
        component: &[u8],
        signature: Option<&str>,
    ) -> String {
        let config = br#"{"architecture":"wasm","os":"wasip2","layerDigests":[]}"#;
        let config_digest = self.push_blob(name, config).await;
        let layer = self.push_blob(name, component).await;
        let mut manifest = manifest(&layer, component.len());
        manifest["config"]["digest"] = json!(config_digest);
        manifest["config"]["size"] = json!(config.len());
        if let Some(signature) = signature {
            manifest["annotations"] = json!({ "dev.tidegate.signature": signature });
        }
        let bytes = serde_json::to_vec(&manifest).unwrap();
        let digest = sha(&bytes);
        let path = format!("/v2/{name}/manifests/{tag}");
        let pushed = self.send(Method::PUT, &path, MANIFEST, bytes).await;
        assert_eq!(pushed.status(), StatusCode::CREATED, "{pushed:?}");
        digest
    }
}

fn manifest(layer: &str, size: usize) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.wasm.config.v0+json", "digest": layer, "size": size,
        },
        "layers": [{ "mediaType": "application/wasm", "digest": layer, "size": size }],
    })
}

fn sha(bytes: &[u8]) -> String {
    let digits: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

const ON_LOOPBACK: [&str; 3] = ["--allow-private", "--plain-http", "--yes"];

#[tokio::test]
async fn a_component_is_pulled_from_a_real_registry_and_pinned() {
    let registry = Registry::start(true).await;
    let builds = tempfile::tempdir().unwrap();
    let key = builds.path().join("ops");
    let key = key.to_str().unwrap();
    let setup = Setup::new().environment("REGISTRY", "tide:s3cret").environment("WRONG", "a:b");
    assert!(setup.bare_cli(&["plugin", "keygen", key]).await.ok);
    let public = std::fs::read_to_string(format!("{key}.pub")).unwrap();
    let setup = setup.settings(&format!("[plugins.keys]\nops = \"{}\"", public.trim()));
    let mut pushed = Vec::new();
    for number in [1, 2] {
        let path = version(builds.path(), "bench-pass", number);
        let text = path.to_str().unwrap();
        assert!(setup.bare_cli(&["plugin", "sign", text, "--key", key]).await.ok);
        let signature = std::fs::read_to_string(path.with_extension("wasm.sig")).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let manifest = registry.push("team/pass", "1", &bytes, Some(signature.trim())).await;
        pushed.push((manifest, digest(&path)));
    }
    let host = registry.address;
    let install = async |reference: &str, auth: &[&str]| {
        let source = format!("oci://{host}/{reference}");
        let mut args = vec!["plugin", "install", &source];
        args.extend(ON_LOOPBACK);
        args.extend(auth);
        setup.cli(&args).await
    };
    let auth = ["--registry-auth", "env:REGISTRY"];
    for (reference, auth, words) in [
        ("team/pass:1", &[][..], "--registry-auth"),
        ("team/pass:1", &["--registry-auth", "env:WRONG"], "refuses"),
        ("team/pass:1", &["--registry-auth", "tide:s3cret"], "never as itself"),
        ("team/pass:9", &auth, "has no"),
        ("team/none", &auth, "has no"),
    ] {
        let refused = install(reference, auth).await;
        assert!(!refused.ok && refused.stderr.contains(words), "{words}: {refused:?}");
        assert!(!refused.stderr.contains("s3cret"), "{refused:?}");
    }
    // The tag leads to the second; what is kept is its digest.
    let tagged = install("team/pass:1", &auth).await;
    assert!(tagged.ok && tagged.stdout.contains("signed by `ops`"), "{tagged:?}");
    let line = listed(&setup, "pass").await;
    assert_eq!(line["digest"], pushed[1].1);
    assert_eq!(line["source"], format!("oci://{host}/team/pass@{}", pushed[1].0));
    assert_eq!(line["signed_by"], "ops");
    let first = install(&format!("team/pass@{}", pushed[0].0), &auth).await;
    assert!(first.ok, "{first:?}");
    assert_eq!(listed(&setup, "pass").await["digest"], pushed[0].1);
    done(&setup, &["rollback", "pass"]).await;
    let line = listed(&setup, "pass").await;
    assert_eq!((&line["digest"], &line["signed_by"]), (&json!(pushed[1].1), &json!("ops")));

    // Without leave the guard keeps a command from this machine and from plain HTTP.
    let source = format!("oci://{host}/team/pass:1");
    let guarded = setup.cli(&["plugin", "install", &source, "--yes"]).await;
    assert!(!guarded.ok && guarded.stderr.contains("not allowed to reach"), "{guarded:?}");
}

#[tokio::test]
async fn an_open_registry_needs_no_credential_and_no_signature() {
    let registry = Registry::start(false).await;
    let builds = tempfile::tempdir().unwrap();
    let path = version(builds.path(), "bench-pass", 1);
    registry.push("pass", "latest", &std::fs::read(&path).unwrap(), None).await;
    let setup = Setup::new();
    let source = format!("oci://{}/pass", registry.address);
    let mut args = vec!["install", source.as_str()];
    args.extend(ON_LOOPBACK);
    let said = done(&setup, &args).await.stdout;
    assert!(said.contains("not signed"), "{said}");
    assert_eq!(listed(&setup, "pass").await["digest"], digest(&path));
}

#[tokio::test]
async fn a_registry_under_an_authority_of_ones_own_needs_that_authority() {
    let registry = Registry::start(false).await;
    let builds = tempfile::tempdir().unwrap();
    let path = version(builds.path(), "bench-pass", 1);
    registry.push("pass", "latest", &std::fs::read(&path).unwrap(), None).await;
    let (known, other) = (Authority::new(), Authority::new());
    let front = known.front(registry.address).await;
    let source = format!("oci://localhost:{}/pass", front.address.port());
    let args = ["plugin", "install", &source, "--yes", ON_LOOPBACK[0]];
    let with = |roots: &str| {
        Setup::new()
            .file("known.pem", &known.pem())
            .file("other.pem", &other.pem())
            .settings(&format!("[egress]\nroots = [{roots}]"))
    };
    for roots in ["", "\"file:other.pem\""] {
        let setup = with(roots);
        let refused = setup.cli(&args).await;
        assert!(!refused.ok, "{roots}: {refused:?}");
        assert_eq!(listed(&setup, "pass").await, Value::Null, "{roots}");
    }
    let setup = with("\"file:other.pem\", \"file:known.pem\"");
    let pulled = setup.cli(&args).await;
    assert!(pulled.ok, "{pulled:?}");
    assert_eq!(listed(&setup, "pass").await["digest"], digest(&path));
}

/// One answer of a made-up registry.
type Answer = Arc<dyn Fn(&Request<Incoming>) -> Response<Full<Bytes>> + Send + Sync>;

/// A registry that answers as a test wants; runs until the test's end.
async fn made_up(
    answer: impl Fn(&Request<Incoming>) -> Response<Full<Bytes>> + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer: Answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            let serve = service_fn(move |request: Request<Incoming>| {
                let response = answer(&request);
                async move { Ok::<_, std::convert::Infallible>(response) }
            });
            let connection = hyper::server::conn::http1::Builder::new();
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), serve));
        }
    });
    address
}

fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Full::new(body.into())).unwrap()
}

/// What a made-up registry does wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Lie {
    OtherBytes,
    MoreBytes,
    TooLarge,
    OtherManifest,
    Index,
    Redirects,
    NoToken,
}

#[tokio::test]
async fn a_registry_that_lies_is_refused_with_a_sentence() {
    let builds = tempfile::tempdir().unwrap();
    let component: Bytes = std::fs::read(version(builds.path(), "bench-pass", 1)).unwrap().into();
    for (lie, words) in [
        (Lie::OtherBytes, "has the hash"),
        (Lie::MoreBytes, "larger than its manifest says"),
        (Lie::TooLarge, "larger than 64 MiB"),
        (Lie::OtherManifest, "the manifest has the hash"),
        (Lie::Index, "several artifacts"),
        (Lie::Redirects, "again and again"),
        (Lie::NoToken, "gives no token"),
    ] {
        let component = component.clone();
        let address = made_up(move |request| {
            let size = if lie == Lie::TooLarge { 65 << 20 } else { component.len() };
            let honest = manifest(&sha(&component), size).to_string();
            match request.uri().path() {
                "/token" => answer(200, &[], "{}"),
                _ if lie == Lie::NoToken => {
                    let host = request.headers()["host"].to_str().unwrap();
                    let asked = format!("Bearer realm=\"http://{host}/token\",service=\"x\"");
                    answer(401, &[("www-authenticate", &asked)], "")
                }
                path if path.contains("/manifests/") => match lie {
                    Lie::OtherManifest => {
                        answer(200, &[("docker-content-digest", &sha(b"other"))], honest)
                    }
                    Lie::Index => answer(200, &[], r#"{"schemaVersion":2,"manifests":[]}"#),
                    _ => answer(200, &[], honest),
                },
                _ => match lie {
                    Lie::Redirects => answer(307, &[("location", "/elsewhere")], ""),
                    Lie::OtherBytes => answer(200, &[], vec![0; component.len()]),
                    _ => answer(200, &[], [component.as_ref(), b"more"].concat()),
                },
            }
        })
        .await;
        let setup = Setup::new();
        let source = format!("oci://{address}/x/pass:1");
        let mut args = vec!["plugin", "install", source.as_str()];
        args.extend(ON_LOOPBACK);
        let refused = setup.cli(&args).await;
        assert!(!refused.ok && refused.stderr.contains(words), "{lie:?}: {refused:?}");
        assert!(!setup.config().join("plugins/pass.toml").exists());
    }
}

#[tokio::test]
async fn a_token_is_fetched_and_goes_no_further_than_the_registry() {
    let builds = tempfile::tempdir().unwrap();
    let path = version(builds.path(), "bench-pass", 1);
    let component: Bytes = std::fs::read(&path).unwrap().into();
    let held = component.clone();
    // The place that blobs are in must not see the credential.
    let blobs = made_up(move |request| {
        if request.headers().contains_key("authorization") {
            return answer(400, &[], "");
        }
        answer(200, &[], held.clone())
    })
    .await;
    let registry = made_up(move |request| {
        let header = |name: &str| request.headers().get(name).map(|it| it.to_str().unwrap());
        let host = header("host").unwrap();
        match (request.uri().path(), header("authorization")) {
            ("/token", Some("Basic dGlkZTpzM2NyZXQ=")) => {
                let query = request.uri().query().unwrap();
                assert!(query.contains("scope=repository%3Ax%2Fpass%3Apull"), "{query}");
                answer(200, &[], r#"{"access_token":"granted"}"#)
            }
            (path, Some("Bearer granted")) if path.contains("/manifests/") => {
                answer(200, &[], manifest(&sha(&component), component.len()).to_string())
            }
            (_, Some("Bearer granted")) => {
                answer(307, &[("location", &format!("http://{blobs}/blob?signed=1"))], "")
            }
            _ => {
                let asked = format!(
                    "Bearer realm=\"http://{host}/token\",service=\"x\",scope=\"repository:x/pass:pull\""
                );
                answer(401, &[("www-authenticate", &asked)], "")
            }
        }
    })
    .await;
    let setup = Setup::new().environment("REGISTRY", "tide:s3cret");
    let source = format!("oci://{registry}/x/pass:1");
    let mut args = vec!["install", source.as_str(), "--registry-auth", "env:REGISTRY"];
    args.extend(ON_LOOPBACK);
    done(&setup, &args).await;
    assert_eq!(listed(&setup, "pass").await["digest"], digest(&path));
}
