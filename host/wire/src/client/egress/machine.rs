//! The way to a machine: a Unix socket or a loopback port, and a token with every request.
//!
//! The address comes from whoever started the machine, never from configuration or a server,
//! so there is nothing to resolve. Knows nothing of what runs there.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Method, uri::PathAndQuery};
use tidegate_model::Clock;

use super::{
    AddressPolicy, Destination, EgressError, Origin, Resolver, Rules, Server, dial::Dialer,
    exchange::Pool,
};
use crate::hosted::{Head, Minter};

/// Where a machine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MachineAddress {
    /// At a Unix socket.
    Unix(PathBuf),
    /// At a port of this computer alone.
    Loopback(SocketAddr),
}

/// Makes the token of each request.
#[derive(Debug)]
pub(super) struct Seal {
    minter: Arc<Minter>,
    clock: Arc<dyn Clock>,
}

/// Time for a connection within this computer.
const CONNECT: Duration = Duration::from_secs(2);

impl Destination {
    /// The endpoint `path` of a machine. Every [`Destination::send`] carries a token of its
    /// own, bound to that very request.
    pub fn machine(
        address: &MachineAddress,
        path: &str,
        minter: Arc<Minter>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, EgressError> {
        let rules = Rules {
            allow: AddressPolicy { loopback: true, ..AddressPolicy::default() },
            connect_timeout: CONNECT,
            ..Rules::default()
        };
        let authority = match address {
            MachineAddress::Unix(_) => "localhost".to_owned(),
            MachineAddress::Loopback(address) => address.to_string(),
        };
        let (origin, path) = Origin::split(&format!("http://{authority}{path}"))?;
        let pool = Arc::new(Pool::new(origin.to_string(), rules.keep_idle));
        let host = HeaderValue::from_str(&authority)
            .map_err(|_| super::BadUrl::Host(authority.clone()))?;
        let dialer = match address {
            MachineAddress::Unix(socket) => Dialer::unix(origin, rules, socket.clone()),
            MachineAddress::Loopback(address) if !address.ip().is_loopback() => {
                let host = authority.clone();
                return Err(EgressError::Forbidden { host, address: address.ip() });
            }
            MachineAddress::Loopback(_) => Dialer::plain(origin, rules, Resolver::System)?,
        };
        let seal = Some(Seal { minter, clock });
        let server = Server { dialer, host, head_timeout: None, pool, seal };
        Ok(Self { server: Arc::new(server), path })
    }
}

impl Seal {
    pub(super) fn token(
        &self,
        method: &Method,
        path: &PathAndQuery,
        headers: &[(HeaderName, HeaderValue)],
        body: &[u8],
    ) -> (HeaderName, HeaderValue) {
        let head = Head { method: method.as_str(), target: path.as_str() };
        let token = self.minter.mint(head, headers, body, self.clock.now());
        (self.minter.header().clone(), token)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;
    use tidegate_model::SystemClock;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::UnixListener,
    };

    use super::*;
    use crate::{
        client::mock::{Act, Mock, Seen},
        hosted::{Addressee, HEADER, HostedKey, Verifier},
    };

    fn pair() -> (Arc<Minter>, Verifier) {
        let to = Addressee { org: "o".into(), connector: "c".into(), machine: "m".into() };
        let key = HostedKey::generate().unwrap();
        let minter = Minter::new("gateway", &to, key.clone(), HEADER).unwrap();
        (Arc::new(minter), Verifier::new(to, key, HEADER, Arc::new(SystemClock)))
    }

    fn headers(seen: &Seen) -> HeaderMap {
        let parsed = seen.headers.iter().map(|(name, value)| {
            (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
        });
        parsed.collect()
    }

    #[tokio::test]
    async fn every_request_carries_a_token_of_its_own() {
        let mock = Mock::start(|_, _| vec![Act::json(200, "[1]")]).await;
        let (minter, verifier) = pair();
        let address = MachineAddress::Loopback(mock.address());
        let clock = Arc::new(SystemClock);
        let machine = Destination::machine(&address, "/mcp", minter, clock).unwrap();
        let own = [(HeaderName::from_static("x-own"), HeaderValue::from_static("1"))];
        for body in ["{}", "{\"a\":1}"] {
            machine.send(&Method::POST, &own, &Bytes::from(body)).await.unwrap();
        }
        let seen = mock.seen();
        for (at, other) in [(0, 1), (1, 0)] {
            let (request, other): (&Seen, &Seen) = (&seen[at], &seen[other]);
            let head = Head { method: &request.method, target: &request.path };
            let admitted = verifier.admit(head, &headers(request)).unwrap();
            assert!(admitted.check(request.body.as_bytes()).is_ok());
            assert!(admitted.check(other.body.as_bytes()).is_err());
            let again = verifier.admit(head, &headers(request));
            assert!(again.is_err(), "a token is good once");
        }
    }

    #[tokio::test]
    async fn a_socket_is_dialled_whatever_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a b.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let (minter, _) = pair();
        let clock = Arc::new(SystemClock);
        let address = MachineAddress::Unix(path.clone());
        let machine = Destination::machine(&address, "/healthz", minter, clock).unwrap();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut said = Vec::new();
            while !said.ends_with(b"\r\n\r\n") {
                said.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            String::from_utf8(said).unwrap()
        });
        let reply = machine.send(&Method::GET, &[], &Bytes::new()).await.unwrap();
        assert_eq!(reply.body.collect(16).await.unwrap(), "ok");
        let said = serving.await.unwrap();
        assert!(said.starts_with("GET /healthz HTTP/1.1\r\n"), "{said}");
        assert!(said.contains("x-mintmcp-hosted-auth: "), "{said}");
        std::fs::remove_file(path).unwrap();
        let gone = machine.send(&Method::GET, &[], &Bytes::new()).await.unwrap_err();
        assert!(gone.nothing_sent(), "{gone}");
    }

    #[test]
    fn nothing_beyond_this_computer_is_a_machine() {
        let (minter, _) = pair();
        for address in ["10.0.0.1:80", "0.0.0.0:80", "[2001:db8::1]:80"] {
            let address = MachineAddress::Loopback(address.parse().unwrap());
            let clock = Arc::new(SystemClock);
            let refused = Destination::machine(&address, "/mcp", Arc::clone(&minter), clock);
            assert!(matches!(refused, Err(EgressError::Forbidden { .. })), "{address:?}");
        }
    }
}
