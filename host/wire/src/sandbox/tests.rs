//! What holds is tried by a thread that confines itself: nobody else is touched.

use std::{
    fs,
    net::{TcpListener, TcpStream, UdpSocket},
    os::unix::net::UnixStream,
    path::Path,
};

use super::*;

/// Carries `deed` out within the confinement.
fn within<T: Send + 'static>(
    confinement: Confinement,
    deed: impl FnOnce() -> T + Send + 'static,
) -> T {
    let confined = move || {
        confinement.restrict().unwrap();
        deed()
    };
    std::thread::spawn(confined).join().unwrap()
}

fn strict() -> Confinement {
    Confinement { required: true, filesystem: true, syscalls: true, ..Confinement::default() }
}

fn kind(outcome: io::Result<impl Sized>) -> Option<io::ErrorKind> {
    outcome.err().map(|error| error.kind())
}

const REFUSED: Option<io::ErrorKind> = Some(io::ErrorKind::PermissionDenied);

#[test]
fn files_are_written_where_that_is_permitted_and_hidden_ones_not_read() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["open", "own", "hidden", "hidden/but"] {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name).join("file"), name).unwrap();
    }
    let at = |name: &str| dir.path().join(name);
    let confinement = Confinement {
        write: vec![at("own")],
        hidden: vec![at("hidden")],
        read: vec![at("hidden/but")],
        ..strict()
    };
    let root = dir.path().to_owned();
    within(confinement, move || {
        let read = |name: &str| kind(fs::read(root.join(name)));
        let write = |name: &str| kind(fs::write(root.join(name), "x"));
        assert_eq!([read("open/file"), read("own/file"), read("hidden/but/file")], [None; 3]);
        assert_eq!(read("hidden/file"), REFUSED);
        assert_eq!(kind(fs::read_dir(root.join("hidden"))), REFUSED);
        assert_eq!([write("own/file"), write("own/new")], [None; 2]);
        assert_eq!([write("open/file"), write("open/new"), write("hidden/but/file")], [REFUSED; 3]);
        assert_eq!(kind(fs::remove_file(root.join("open/file"))), REFUSED);
        assert_eq!(kind(fs::write("/dev/null", "x")), None);
        // What it starts is confined as well.
        let mut copy = Command::new("cp");
        let copied = copy.arg(root.join("own/file")).arg(root.join("open/copy"));
        assert!(!copied.stderr(std::process::Stdio::null()).status().unwrap().success());
    });
    assert_eq!(fs::read(at("open/file")).unwrap(), b"open");
    // Nobody else is.
    fs::write(at("open/after"), "x").unwrap();
}

#[test]
fn without_a_network_there_is_no_socket_and_pairs_stay() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let tries = move |socket: &Path| {
        [
            kind(TcpStream::connect(("127.0.0.1", port))),
            kind(UdpSocket::bind("127.0.0.1:0")),
            kind(TcpListener::bind("127.0.0.1:0")),
            kind(UnixStream::connect(socket)),
            kind(UnixStream::pair()),
        ]
    };
    assert_eq!(tries(&socket), [None; 5]);
    let none = Confinement { network: Network::None, ..strict() };
    let tried = within(none, move || tries(&socket));
    assert_eq!(tried, [REFUSED, REFUSED, REFUSED, REFUSED, None]);
}

#[test]
fn a_server_has_its_port_and_no_other() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = taken.local_addr().unwrap().port();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let serving = Confinement { network: Network::Serve(port), ..strict() };
    within(serving, move || {
        let own = TcpListener::bind(("127.0.0.1", port)).unwrap();
        assert_eq!(kind(TcpListener::bind("127.0.0.1:0")), REFUSED);
        assert_eq!(kind(TcpStream::connect(("127.0.0.1", other))), REFUSED);
        assert_eq!(kind(TcpStream::connect(("127.0.0.1", port))), REFUSED);
        assert_eq!(kind(UdpSocket::bind("127.0.0.1:0")), REFUSED);
        drop(own);
    });
}

#[test]
fn calls_that_lead_out_are_refused() {
    within(strict(), || {
        let fails = |program: &str, args: &[&str]| {
            let mut command = Command::new(program);
            let output = command.args(args).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success(), "{program} {args:?}");
            assert!(said.contains("not permitted"), "{program} {args:?}: {said}");
        };
        fails("unshare", &["--user", "true"]);
        fails("unshare", &["--mount", "true"]);
        fails("unshare", &["--fork", "--pid", "true"]);
        // Ordinary life goes on: processes, threads, pipes.
        let output = Command::new("sh").args(["-c", "echo a | tr a b; (exit 3); echo $?"]).output();
        assert_eq!(String::from_utf8_lossy(&output.unwrap().stdout), "b\n3\n");
        std::thread::spawn(|| {}).join().unwrap();
    });
}

#[test]
fn a_confinement_survives_the_command_line() {
    let confinement = Confinement {
        write: vec!["/srv/a b".into()],
        network: Network::Serve(80),
        limits: Limits { memory: Some(1 << 30), ..Limits::default() },
        user: Some(1000),
        ..strict()
    };
    let words = ["prog", "--", "-x", "confine", "a b\n$(c)"].map(OsString::from);
    let line = confinement.command("bridge".as_ref(), words.clone()).unwrap();
    assert_eq!(line[..2], ["bridge", CONFINE]);
    let (read, program, args) = Confinement::parse(line.into_iter().skip(2)).unwrap();
    assert_eq!((read, program, args.as_slice()), (confinement, words[0].clone(), &words[1..]));
}

#[test]
fn what_cannot_be_read_confines_nothing_and_starts_nothing() {
    for args in [
        &[] as &[&str],
        &["{}"],
        &["{}", "--"],
        &["{}", "prog"],
        &["{\"writes\":[]}", "--", "prog"],
        &["{\"network\":\"some\"}", "--", "prog"],
        &["{", "--", "prog"],
    ] {
        let parsed = Confinement::parse(args.iter().map(OsString::from));
        assert!(matches!(parsed, Err(SandboxError::Arguments(_))), "{args:?}");
    }
}

#[test]
fn what_is_missing_is_said() {
    let none = Mechanisms::default();
    assert_eq!(
        none.holds(Network::None, false).missing(),
        [
            "files are not protected",
            "system calls are not filtered",
            "the network is not off",
            "no namespaces of its own",
            "the number of processes is not bounded",
        ]
    );
    assert!(none.holds(Network::Host, false).network);
    let kernel = Mechanisms { landlock: Some(3), seccomp: true, ..Mechanisms::default() };
    assert!(kernel.holds(Network::None, false).suffices());
    assert!(!kernel.holds(Network::Serve(1), false).suffices(), "it knows no ports");
    let all = Mechanisms {
        bubblewrap: Some("/usr/bin/bwrap".into()),
        landlock: Some(6),
        ..kernel.clone()
    };
    assert!(all.holds(Network::None, false).missing().is_empty());
    let root = Mechanisms { superuser: true, ..all };
    assert!(!root.holds(Network::None, false).processes);
    assert!(root.holds(Network::None, true).processes);
    let line = Mechanisms { no_bubblewrap: Some("it is not installed".into()), ..kernel };
    assert_eq!(
        line.to_string(),
        "no namespaces (bubblewrap: it is not installed), Landlock 3, seccomp, resource limits"
    );
}
