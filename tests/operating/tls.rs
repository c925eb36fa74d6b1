//! TLS on the public listener.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;

/// A new certificate for `localhost`, written as PEM beside the configuration.
fn certify(setup: Setup) -> (Setup, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::create_dir(setup.config().join("../tls")).unwrap();
    let setup = setup
        .file("../tls/cert.pem", &made.cert.pem())
        .file("../tls/key.pem", &made.signing_key.serialize_pem())
        .settings("[tls]\ncertificate = \"../tls/cert.pem\"\nkey = \"../tls/key.pem\"");
    (setup, made.cert.der().clone())
}

async fn connect(
    gateway: &TestGateway,
    trusted: &CertificateDer<'static>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(client)).connect(name, stream).await
}

/// `ping` without a key over an open connection.
async fn ping(gateway: &TestGateway, stream: TlsStream<TcpStream>) -> StatusCode {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
    let request = Request::post("/mcp/main")
        .header("host", gateway.address.to_string())
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {}", gateway.key("alice")))
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status();
    response.into_body().collect().await.unwrap();
    status
}

#[tokio::test]
async fn the_public_listener_speaks_tls() {
    let mock = echo().await;
    let (setup, certificate) = certify(Setup::simple(&mock));
    let gateway = setup.start().await;
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let stream = connect(&gateway, &certificate, &[version]).await.unwrap();
        assert_eq!(ping(&gateway, stream).await, 200, "{version:?}");
    }
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    assert!(connect(&gateway, other.cert.der(), rustls::ALL_VERSIONS).await.is_err());
    // Whoever speaks plainly gets no answer, and does no harm.
    assert!(Load::start(&gateway.client("alice", "main"), &["echo"], 2, 0).rest().await.is_empty());
    assert!(mock.calls("echo").is_empty());
    let stream = connect(&gateway, &certificate, rustls::ALL_VERSIONS).await.unwrap();
    assert_eq!(ping(&gateway, stream).await, 200);
    let status = gateway.cli(&["status", "--json"]).await;
    assert!(status.stdout.contains("https://"), "{status:?}");
    assert_eq!(get(&gateway, "/readyz").await.status, 200, "without TLS");
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_refused_by_name() {
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = other.signing_key.serialize_pem();
    for (file, text, says) in [
        ("../tls/cert.pem", "", "certificate and key cannot be used"),
        ("../tls/cert.pem", "-----BEGIN CERTIFICATE-----\nno\n", "cert.pem` as PEM"),
        ("../tls/key.pem", "", "key.pem` as PEM"),
        ("../tls/key.pem", &other, "certificate and key cannot be used"),
    ] {
        let (setup, _) = certify(Setup::new());
        let refused = setup.file(file, text).start_refused().await;
        assert!(refused.contains(says), "{file}: {refused}");
    }
    let (setup, _) = certify(Setup::new());
    std::fs::remove_file(setup.config().join("../tls/key.pem")).unwrap();
    let refused = setup.start_refused().await;
    assert!(refused.contains("key.pem` as PEM"), "{refused}");
}
