//! What tests of the authorization server stand on: a clock that they set, an organisation over
//! a store in memory, and a web site over TLS that misbehaves as told.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use model::{Clock, OrgId, Timestamp};
use rustls::pki_types::PrivatePkcs8KeyDer;
use tidegate_model as model;
use tidegate_store::{EmbeddedStore, FixedKeys, Store};
use tidegate_wire::client::egress::{Egress, Resolver};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{Ground, Issuer, Settings};

/// The moment at which tests begin.
pub(super) const START: u64 = 1_760_000_000_000;

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub(super) struct SetClock(AtomicU64);

impl SetClock {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(START)))
    }

    pub(super) fn forward(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// The default organisation at `https://mcp.example.com`.
pub(super) async fn ground(clock: &Arc<SetClock>, egress: Arc<Egress>) -> Ground {
    let org = OrgId::default_org();
    let shared: Arc<dyn Clock> = Arc::<SetClock>::clone(clock);
    let keys = Arc::new(FixedKeys::new([[7; 32]]));
    let store = EmbeddedStore::memory(keys, Arc::clone(&shared)).unwrap();
    store.ensure_org(&org).await.unwrap();
    let issuer = Issuer::new("https://mcp.example.com", org).unwrap();
    Ground { issuer, store: Arc::new(store), clock: shared, egress }
}

/// A way out that reaches nothing.
pub(super) fn no_egress() -> Arc<Egress> {
    let nowhere = |_: &str| Ok(Vec::new());
    Egress::new(Resolver::Fixed(Arc::new(nowhere)), None).unwrap()
}

/// Settings that let documents and keys be fetched from this machine.
pub(super) fn local() -> Settings {
    Settings { document_addresses: vec![IpAddr::from([127, 0, 0, 1])], ..Settings::default() }
}

/// What a site does with a request.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// Writes these bytes.
    Write(Vec<u8>),
    /// Writes these bytes until the client has gone.
    Flood(Vec<u8>),
    /// Nothing more until the client has gone.
    Hang,
}

impl Act {
    /// A whole response.
    pub(super) fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Vec<Self> {
        let mut out = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        vec![Self::Write(format!("{out}\r\n{body}").into_bytes())]
    }

    pub(super) fn json(body: &str) -> Vec<Self> {
        Self::reply(200, &[("content-type", "application/json")], body)
    }
}

/// A web site over TLS on loopback, for every name that ends in `.test`.
pub(super) struct Site {
    port: u16,
    pem: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Site {
    /// Answers every request by what `script` makes of its path and of the site's port.
    pub(super) async fn start(
        script: impl Fn(&str, u16) -> Vec<Act> + Send + Sync + 'static,
    ) -> Self {
        let names = ["docs.test", "other.test", "metadata.test"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, script) = (Arc::clone(&seen), Arc::new(script));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, log, script) =
                    (acceptor.clone(), Arc::clone(&log), Arc::clone(&script));
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut head = Vec::new();
                    while let Ok(1..) = stream.read_buf(&mut head).await {
                        if !head.ends_with(b"\r\n\r\n") {
                            continue;
                        }
                        let text = String::from_utf8(std::mem::take(&mut head)).unwrap();
                        let path = text.split(' ').nth(1).unwrap().to_owned();
                        log.lock().unwrap().push(text);
                        for act in script(&path, port) {
                            if perform(&mut stream, act).await.is_none() {
                                return;
                            }
                        }
                    }
                });
            }
        });
        Self { port, pem: made.cert.pem(), seen }
    }

    /// `https://{host}:{port}{path}`
    pub(super) fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.port)
    }

    /// The heads of all requests so far.
    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// A way out that trusts the site, where `metadata.test` leads to what clouds keep for
    /// themselves and every other name to this machine.
    pub(super) fn egress(&self) -> Arc<Egress> {
        let lookup = |host: &str| {
            let link_local = IpAddr::from([169, 254, 169, 254]);
            let loopback = IpAddr::from([127, 0, 0, 1]);
            Ok(vec![if host == "metadata.test" { link_local } else { loopback }])
        };
        Egress::new(Resolver::Fixed(Arc::new(lookup)), Some(self.pem.as_bytes())).unwrap()
    }
}

async fn perform(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), act: Act) -> Option<()> {
    match act {
        Act::Write(bytes) => stream.write_all(&bytes).await.ok()?,
        Act::Flood(bytes) => loop {
            stream.write_all(&bytes).await.ok()?;
        },
        Act::Hang => {
            let mut rest = [0; 64];
            while let Ok(1..) = stream.read(&mut rest).await {}
            return None;
        }
    }
    stream.flush().await.ok()
}
