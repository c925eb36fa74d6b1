//! A place of its own for one test: a network namespace in which only loopback is up.
//!
//! The suite listens on all interfaces and must never reach further than this machine.
//! Owns starting the test once more inside of `unshare`; nothing of what the test does is
//! known here. Where the machine makes no namespaces the test runs without, and says so.

use std::process::{Command, Stdio};

/// Set for the test that runs inside.
const INSIDE: &str = "TIDEGATE_CONFORMANCE_APART";

/// Brings loopback up (SIOCSIFFLAGS with IFF_UP), which needs no program that a small
/// machine might lack, and becomes the test.
const SCRIPT: &str = "\
import fcntl, os, socket, struct, sys
with socket.socket() as s:
    fcntl.ioctl(s, 0x8914, struct.pack('16sh14x', b'lo', 1))
os.execv(sys.argv[1], sys.argv[1:])";

/// Runs `work` in a namespace of its own; `test` is this test's name with its modules.
pub(super) fn run(test: &str, work: impl Future<Output = ()>) {
    if inside() {
        return block_on(work);
    }
    let Some(mut command) = namespace() else {
        eprintln!("no network namespace can be made here: the suite runs without one");
        return block_on(work);
    };
    command.args(["python3", "-c", SCRIPT]).arg(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]).env(INSIDE, "1");
    let status = command.stdin(Stdio::null()).status().unwrap();
    assert!(status.success(), "{test} failed; what it said stands above");
}

fn block_on(work: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().unwrap().block_on(work);
}

#[expect(clippy::disallowed_methods, reason = "the test tells itself that it runs inside")]
fn inside() -> bool {
    std::env::var(INSIDE).is_ok()
}

/// The command that makes a namespace, with or without being root.
fn namespace() -> Option<Command> {
    let ways: [&[&str]; 2] = [&["--net"], &["--net", "--user", "--map-root-user"]];
    ways.into_iter().find_map(|flags| {
        let command = || {
            let mut command = Command::new("unshare");
            command.args(flags);
            command
        };
        let tried = command().args(["python3", "-c", SCRIPT, "/bin/true"]).output();
        tried.is_ok_and(|output| output.status.success()).then(command)
    })
}
