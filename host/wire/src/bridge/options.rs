//! The command line of the bridge.
//!
//! ```text
//! tidegate-bridge --listen unix:PATH|127.0.0.1:PORT (--key-stdin | --key-file PATH)
//!     --org ORG --connector NAME --machine ID [--env-file PATH] [--cwd DIR] …
//!     -- PROGRAM ARGS…
//! ```
//! Prints `{"event":"ready","listen":"…"}` on stdout once it listens; everything else goes to
//! stderr as JSON lines, the child's stderr with target `tidegate::connector::stderr`.

use std::{net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use clap::Parser;
use http::HeaderName;

use super::Limits;
use crate::{client::stdio::Command, hosted};

/// Wraps an MCP server that speaks stdio and serves it to one gateway over HTTP.
#[derive(Debug, Clone, Parser)]
#[command(name = "tidegate-bridge", version, about)]
#[command(group = clap::ArgGroup::new("key").required(true).args(["key_stdin", "key_file"]))]
pub struct Options {
    /// Where to listen: `unix:PATH` (made with mode 0600), or a loopback address with a port.
    #[arg(long)]
    pub listen: Listen,
    /// Read lines of JSON from stdin: first `{"key":"ID.KEY","env":{"NAME":"value"}}`, later
    /// `{"key":"ID.KEY"}` to exchange keys. The end of stdin ends the bridge.
    #[arg(long)]
    pub key_stdin: bool,
    /// Read the key from a file that only its owner may read, and remove it. SIGHUP reads it
    /// again, to exchange keys.
    #[arg(long, value_name = "PATH")]
    pub key_file: Option<PathBuf>,
    /// Read the child's whole environment, a JSON object of strings, from a file that only its
    /// owner may read, and remove it.
    #[arg(long, value_name = "PATH", conflicts_with = "key_stdin")]
    pub env_file: Option<PathBuf>,
    /// The organisation that tokens must name.
    #[arg(long)]
    pub org: String,
    /// The connector that tokens must name.
    #[arg(long)]
    pub connector: String,
    /// The machine that tokens must name.
    #[arg(long)]
    pub machine: String,
    /// The header that carries the token.
    #[arg(long, default_value = "x-mintmcp-hosted-auth", value_name = "HEADER")]
    pub token_header: HeaderName,
    /// The child's working directory.
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<PathBuf>,
    /// The largest request, in bytes.
    #[arg(long, default_value_t = 16 << 20, value_name = "BYTES")]
    pub request_limit: usize,
    /// The largest message of the child, in bytes.
    #[arg(long, default_value_t = 16 << 20, value_name = "BYTES")]
    pub answer_limit: usize,
    /// The most children with an environment of their own at once.
    #[arg(long, default_value_t = 64, value_name = "COUNT")]
    pub children: usize,
    /// How long a child with an environment of its own is kept unused, in seconds.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub child_idle: u64,
    /// The program and its arguments; no shell touches them.
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    pub program: Vec<String>,
}

/// An address that nobody beyond this machine can reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A Unix socket.
    Unix(PathBuf),
    /// A loopback address.
    Loopback(SocketAddr),
}

/// An address that is none, or that others could reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("give `unix:PATH`, or a loopback address with a port as in `127.0.0.1:0`")]
pub struct NotPrivate;

impl FromStr for Listen {
    type Err = NotPrivate;

    fn from_str(text: &str) -> Result<Self, NotPrivate> {
        match text.strip_prefix("unix:") {
            Some("") => Err(NotPrivate),
            Some(path) => Ok(Self::Unix(path.into())),
            None => match text.parse::<SocketAddr>() {
                Ok(address) if address.ip().is_loopback() => Ok(Self::Loopback(address)),
                _ => Err(NotPrivate),
            },
        }
    }
}

impl Options {
    /// The machine that tokens must be for.
    pub(super) fn addressee(&self) -> hosted::Addressee {
        hosted::Addressee {
            org: self.org.clone(),
            connector: self.connector.clone(),
            machine: self.machine.clone(),
        }
    }

    /// The child, without its environment.
    pub(super) fn command(&self) -> Command {
        let mut words = self.program.iter().cloned();
        Command {
            program: words.next().unwrap_or_default(),
            args: words.collect(),
            env: Vec::new(),
            cwd: self.cwd.clone(),
        }
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            request: self.request_limit,
            answer: self.answer_limit,
            children: self.children,
            idle: Duration::from_secs(self.child_idle),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, clap::Error> {
        Options::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_command_line_is_read() {
        let line = "tidegate-bridge --listen unix:/run/m/s --key-stdin --org default \
                    --connector files --machine m1 -- npx -y server --key-stdin";
        let options = read(line).unwrap();
        assert_eq!(options.listen, Listen::Unix("/run/m/s".into()));
        assert_eq!(options.token_header, hosted::HEADER);
        assert_eq!(options.command().program, "npx");
        assert_eq!(options.command().args, ["-y", "server", "--key-stdin"]);
        let (limits, idle) = (options.limits(), Duration::from_secs(600));
        assert_eq!((limits.children, limits.idle), (64, idle));
    }

    #[test]
    fn what_others_could_reach_is_no_address() {
        for text in ["0.0.0.0:1", "10.0.0.1:80", "[::]:1", "localhost:1", "unix:", "", "127.0.0.1"]
        {
            assert_eq!(text.parse::<Listen>(), Err(NotPrivate), "{text}");
        }
        assert!("127.0.0.1:0".parse::<Listen>().is_ok() && "[::1]:0".parse::<Listen>().is_ok());
    }

    #[test]
    fn a_key_has_one_way_in() {
        let rest = "--listen 127.0.0.1:0 --org o --connector c --machine m";
        for keys in ["", " --key-stdin --key-file k", " --key-stdin --env-file e"] {
            assert!(read(&format!("tidegate-bridge {rest}{keys} -- p")).is_err(), "{keys}");
        }
        assert!(read(&format!("tidegate-bridge {rest} --key-file k --env-file e -- p")).is_ok());
        assert!(read(&format!("tidegate-bridge {rest} --key-stdin")).is_err());
    }
}
