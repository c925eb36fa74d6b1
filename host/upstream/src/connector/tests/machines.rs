//! Machines under a hosted connector: what holds a program, who takes a call, what is lost
//! with a machine, and what a program that misbehaves can do.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
};

use futures_util::future::join_all;
use rustix::process::{Pid, Signal, kill_process};
use tidegate_wire::sandbox::{Limits, Mechanisms, Network};

use super::{
    stand::{Machines, Speaks, parts, peer},
    *,
};
use crate::machine::{Backend, SandboxSpec, Strictness};

/// A server in a few lines of shell: each call does the deed in `$1` and tells what came of it.
/// Its stderr is descriptor 3.
const SERVER: &str = r#"exec 3>&2
while read l; do
    case "$l" in
        *server/discover*) said='{"supportedVersions":["2026-07-28"]}';;
        *tools/call*)
            words=$(eval "$1" 2>&1 | tr -c 'a-zA-Z0-9_./ -' ' ')
            said="{\"said\":\"$words\",\"pid\":$$}";;
        *) continue;;
    esac
    id=$(echo "$l" | sed 's/.*"id":\([0-9]*\).*/\1/')
    echo "{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":$said}"
done"#;

/// A hosted connector and what its machines run on.
struct Hosting {
    connector: Arc<dyn Connector>,
    machines: Arc<Machines>,
}

impl Hosting {
    fn of(spec: HostedSpec, machines: Machines) -> Self {
        let machines = Arc::new(machines);
        let backend = Arc::clone(&machines) as Arc<dyn Backend>;
        let parts = Parts { machines: Some(backend), ..parts(&[("env:KEY", "s3cret-value")]) };
        let id = ConnectorId::new("box").unwrap();
        let connector = open(id, &ConnectorSpec::Hosted(spec), &parts).unwrap();
        Self { connector, machines }
    }

    async fn does(&self) -> Value {
        value(&call(&self.connector, "deed", "{}").await.unwrap())
    }

    async fn said(&self) -> String {
        self.does().await["said"].as_str().unwrap().trim().to_owned()
    }

    async fn until(&self, what: &str, holds: impl Fn(&Health) -> bool) {
        let waiting = async {
            while !holds(&self.connector.health()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), waiting).await;
        assert!(waited.is_ok(), "{what}: {:?}", self.connector.health());
    }

    async fn until_running(&self, count: usize) {
        self.until("machines run", |health| {
            health.machines.iter().filter(|machine| machine.state == "running").count() == count
        })
        .await;
    }
}

fn doing(deed: &str, sandbox: SandboxSpec) -> HostedSpec {
    let args = ["-c", SERVER, "sh", deed].map(str::to_owned);
    HostedSpec { sandbox, ..HostedSpec::command("sh", args) }
}

/// Machines with what this computer has, and with bubblewrap where `xtask peers` or the
/// system has it.
fn variants() -> Vec<Machines> {
    let plain = Mechanisms { bubblewrap: None, ..Mechanisms::detect("/nowhere") };
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/bubblewrap/usr/bin");
    let path = format!("/usr/bin:{}", peers.display());
    let full = Mechanisms::detect(&path);
    let mut all = vec![Machines::with(plain, None)];
    if full.bubblewrap.is_some() {
        all.push(Machines::with(full, None));
    } else {
        eprintln!("bubblewrap is not tried: {full}");
    }
    all
}

#[tokio::test]
async fn a_program_is_kept_from_files_and_network() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let deed = format!(
        "for d in $OPEN $CLOSED $HOME; do touch $d/x 2>/dev/null && echo made || echo refused; done; \
         cat $DATA/root.key >/dev/null 2>&1 && echo seen || echo hidden; \
         touch $TMPDIR/x && echo made; \
         bash -c 'echo > /dev/tcp/127.0.0.1/{port}' 2>/dev/null && echo reached || echo alone"
    );
    for (strictness, network, expected) in [
        (Strictness::Off, Network::Host, "made made made seen made reached"),
        (Strictness::Best, Network::Host, "made refused refused hidden made reached"),
        (Strictness::Best, Network::None, "made refused refused hidden made alone"),
        (Strictness::Required, Network::None, "made refused refused hidden made alone"),
    ] {
        for machines in variants() {
            let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir_in("/var/tmp").unwrap()).collect();
            let at = |index: usize| dirs[index].path().to_owned();
            let sandbox =
                SandboxSpec { strictness, network, write: vec![at(0)], ..SandboxSpec::default() };
            let mut spec = doing(&deed, sandbox);
            fs::write(machines.data().join("root.key"), "x").unwrap();
            for (name, path) in
                [("OPEN", at(0)), ("CLOSED", at(1)), ("HOME", at(2)), ("DATA", machines.data())]
            {
                let value = EnvValue::Plain(path.to_str().unwrap().to_owned());
                spec.env.insert(name.to_owned(), value);
            }
            spec.env.insert("TMPDIR".to_owned(), EnvValue::Plain("/tmp".to_owned()));
            let protection = machines.protection();
            let hosting = Hosting::of(spec, machines);
            let said = hosting.said().await;
            assert_eq!(said, expected, "{strictness:?} {network:?} {protection}");
            assert!(!dirs[1].path().join("x").exists() || strictness == Strictness::Off);
        }
    }
}

#[tokio::test]
async fn what_is_required_and_missing_starts_nothing() {
    let sandbox = SandboxSpec { strictness: Strictness::Required, ..SandboxSpec::default() };
    let nothing = Machines::with(Mechanisms::default(), None);
    let hosting = Hosting::of(doing("echo done", sandbox.clone()), nothing);
    let error = call(&hosting.connector, "deed", "{}").await.unwrap_err();
    assert!(error.to_string().contains("files are not protected"), "{error}");
    assert!(hosting.machines.list().is_empty());
    let best = SandboxSpec { strictness: Strictness::Best, ..sandbox };
    let nothing = Machines::with(Mechanisms::default(), None);
    let hosting = Hosting::of(doing("echo done", best), nothing);
    assert_eq!(hosting.said().await, "done");
    let missing = &hosting.connector.health().machines[0].missing;
    assert!(missing.contains(&"system calls are not filtered"), "{missing:?}");
}

#[tokio::test]
async fn memory_is_bounded() {
    let deed = "head -c 300000000 /dev/zero | tail | wc -c";
    for (memory, fits) in [(None, true), (Some(64 << 20), false)] {
        let limits = Limits { memory, ..Limits::default() };
        let sandbox = SandboxSpec { limits, ..SandboxSpec::default() };
        let hosting = Hosting::of(doing(deed, sandbox), Machines::new());
        let said = hosting.said().await;
        assert_eq!(said.ends_with("300000000"), fits, "{said}");
        assert_eq!(said.contains("exhausted"), !fits, "{said}");
    }
}

/// The processes of a user.
fn of_user(user: u32) -> usize {
    let of = |path: PathBuf| {
        fs::metadata(path).is_ok_and(|about| std::os::unix::fs::MetadataExt::uid(&about) == user)
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let is_process = |name: &std::ffi::OsStr| name.to_string_lossy().parse::<u32>().is_ok();
    entries.filter(|entry| is_process(&entry.file_name()) && of(entry.path())).count()
}

#[tokio::test]
async fn a_fork_bomb_is_bounded_and_gone_with_its_machine() {
    const USER: u32 = 54_321;
    let is_root = rustix::process::geteuid().is_root();
    let deed = "n=0; while [ $n -lt 90 ]; do sleep 60 >/dev/null 2>&1 & n=$((n+1)); done; echo all";
    let sandbox = SandboxSpec {
        limits: Limits { processes: Some(40), ..Limits::default() },
        user: is_root.then_some(USER),
        ..SandboxSpec::default()
    };
    let variants = variants();
    for machines in variants {
        let counts = is_root || machines.protection().contains("namespaces by");
        let hosting = Hosting::of(doing(deed, sandbox.clone()), machines);
        let within = Duration::from_secs(20);
        let said = call_within(&hosting.connector, "deed", "{}", within).await;
        let missing = hosting.connector.health().machines[0].missing.clone();
        assert_eq!(missing.contains(&"the number of processes is not bounded"), !counts);
        if counts {
            let said = said.map(|answer| value(&answer)["said"].to_string());
            assert!(said.as_ref().is_ok_and(|said| said.contains("fork")), "{said:?}");
        }
        if is_root {
            assert!(of_user(USER) > 10, "there were some");
        }
        hosting.connector.close().await;
        if is_root {
            let gone = async {
                while of_user(USER) > 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            let gone = tokio::time::timeout(Duration::from_secs(5), gone).await;
            assert!(gone.is_ok(), "{} are left", of_user(USER));
        }
    }
}

#[tokio::test]
async fn programs_that_do_not_come_up_are_errors_with_a_cause() {
    let shell = |script: &str| HostedSpec {
        probe_timeout: Duration::from_millis(50),
        start_timeout: Duration::from_millis(500),
        ..HostedSpec::command("sh", ["-c", script].map(str::to_owned))
    };
    for (script, word) in [
        ("echo the reason >&2; exit 3", "the reason"),
        ("kill -9 $$", ""),
        ("echo the reason >&2; sleep 1000", "the reason"),
        ("echo no JSON; echo the reason >&2; cat >/dev/null", "the reason"),
    ] {
        let hosting = Hosting::of(shell(script), Machines::new());
        let within = Duration::from_secs(5);
        let error = call_within(&hosting.connector, "deed", "{}", within).await.unwrap_err();
        let code = error.code();
        let fits =
            matches!(code, RefusalCode::ConnectorUnavailable | RefusalCode::DeadlineExceeded);
        assert!(fits, "{script}: {error:?}");
        let logs = hosting.connector.logs();
        let mut lines = logs.iter().flat_map(|machine| &machine.lines);
        assert!(lines.any(|line| line.text.contains(word)), "{script}: {logs:?}");
    }
}

#[tokio::test]
async fn a_program_that_is_slow_to_start_is_not_taken_for_one_of_the_other_era() {
    let script = r#"sleep 0.3
        while read l; do
            case "$l" in
                *server/discover*) part='"result":{"supportedVersions":["2026-07-28"]}';;
                *initialize*) part='"error":{"code":-32600,"message":"no handshake here"}';;
                *tools/call*) part='"result":{"said":"hi"}';;
                *) continue;;
            esac
            id=$(echo "$l" | sed 's/.*"id":\([0-9]*\).*/\1/')
            echo "{\"jsonrpc\":\"2.0\",\"id\":$id,$part}"
        done"#;
    let spec = HostedSpec {
        probe_timeout: Duration::from_millis(20),
        ..HostedSpec::command("sh", ["-c", script].map(str::to_owned))
    };
    let hosting = Hosting::of(spec, Machines::new());
    assert_eq!(hosting.said().await, "hi");
}

#[tokio::test]
async fn a_flood_on_stderr_is_bounded_and_secrets_stand_in_no_line() {
    let deed = "yes flood | head -c 20000000 >&3; echo key $KEY >&3; echo done";
    let mut spec = doing(deed, SandboxSpec::default());
    spec.env.insert("KEY".to_owned(), EnvValue::Secret("env:KEY".to_owned()));
    let hosting = Hosting::of(spec, Machines::new());
    assert_eq!(hosting.said().await, "done");
    assert_eq!(hosting.said().await, "done");
    let logs = hosting.connector.logs();
    let bytes: usize = logs.iter().flat_map(|it| &it.lines).map(|line| line.text.len()).sum();
    assert!(bytes <= 256 * 1024, "{bytes}");
    assert!(!format!("{logs:?}").contains("s3cret-value"));
}

#[tokio::test]
async fn calls_spread_over_machines_and_go_on_when_one_is_lost() {
    let spec = HostedSpec { machines: 3, ..doing("sleep 0.3; echo hi", SandboxSpec::default()) };
    let hosting = Hosting::of(spec, Machines::new());
    hosting.does().await;
    hosting.until_running(3).await;
    let at_once = join_all((0..3).map(|_| hosting.does())).await;
    let mut pids: Vec<_> = at_once.iter().map(|it| it["pid"].as_u64().unwrap()).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 3, "{at_once:?}");
    let lost = hosting.machines.list().remove(0);
    kill(&lost);
    hosting
        .until("it is noticed", |health| {
            health.machines.iter().all(|machine| machine.id.as_deref() != Some(&*lost))
        })
        .await;
    for _ in 0..5 {
        hosting.does().await;
    }
    hosting.until_running(3).await;
    assert!(!hosting.machines.list().contains(&lost));
}

/// Kills the bridge of a machine.
fn kill(machine: &str) {
    let word = format!("--machine={machine}");
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        let is_it = line.split('\0').any(|arg| arg == word);
        let pid = entry.file_name().to_string_lossy().parse().ok().and_then(Pid::from_raw);
        if let (true, Some(pid)) = (is_it, pid) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

#[tokio::test]
async fn a_session_stays_at_its_machine_and_is_told_when_that_is_lost() {
    let spec = HostedSpec { machines: 2, ..peer(Speaks::Legacy, &[]) };
    let hosting = Hosting::of(spec, Machines::new());
    let seen = async |client: u128| {
        let exchange = Exchange { affinity: Some(crate::Affinity(client)), ..Exchange::default() };
        let armed = armed(&hosting.connector, "seen", "{}", Duration::from_secs(20));
        hosting.connector.call(armed, exchange).await
    };
    let calls = |answer: &Answer| value(answer)["calls"].as_u64().unwrap();
    seen(1).await.unwrap();
    hosting.until_running(2).await;
    let first = calls(&seen(1).await.unwrap());
    for more in 1..5 {
        assert_eq!(calls(&seen(1).await.unwrap()), first + more);
    }
    for machine in hosting.machines.list() {
        hosting.machines.stop(&machine).await;
    }
    let lost = seen(1).await.unwrap_err();
    assert!(matches!(lost, ConnectorError::MachineLost) && lost.nothing_sent(), "{lost:?}");
    let refusal = lost.refusal("box");
    assert!(refusal.message.contains("is gone"), "{refusal:?}");
    assert_eq!(calls(&seen(1).await.unwrap()), 1, "it begins anew");
    assert_eq!(hosting.connector.health().state, HealthState::Up, "nobody else is hurt");
}

#[tokio::test]
async fn machines_rest_when_nobody_calls() {
    let idle_stop = Some(Duration::from_millis(100));
    let spec = HostedSpec { idle_stop, ..doing("echo hi", SandboxSpec::default()) };
    let hosting = Hosting::of(spec, Machines::new());
    for _ in 0..2 {
        let pid = hosting.does().await["pid"].clone();
        hosting.until("it rests", |health| health.machines[0].state == "idle").await;
        let gone = async {
            while !hosting.machines.list().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let gone = tokio::time::timeout(Duration::from_secs(15), gone).await;
        assert!(gone.is_ok(), "{pid} stays");
    }
}

#[tokio::test]
async fn who_answers_for_another_machine_is_not_believed() {
    let spec = HostedSpec { machines: 2, ..doing("echo hi", SandboxSpec::default()) };
    let hosting = Hosting::of(spec, Machines::new());
    hosting.connector.warm().await;
    hosting.until_running(2).await;
    let machines = hosting.connector.health().machines;
    let socket = |at: usize| {
        hosting.machines.data().join("run").join(machines[at].id.as_deref().unwrap()).join("s")
    };
    fs::remove_file(socket(0)).unwrap();
    std::os::unix::fs::symlink(socket(1), socket(0)).unwrap();
    let error = call(&hosting.connector, "deed", "{}").await.unwrap_err();
    assert_eq!(error.code(), RefusalCode::ConnectorUnavailable, "{error:?}");
    assert_eq!(hosting.said().await, "hi");
    assert!(hosting.machines.list().iter().all(|id| Some(id) != machines[0].id.as_ref()));
}

#[tokio::test]
async fn a_data_directory_may_be_anywhere() {
    let deep = tempfile::tempdir().unwrap();
    let data = deep.path().join("a/rather/long/path".repeat(8));
    let machines = Machines::with(Mechanisms::detect("/nowhere"), Some(data));
    let hosting = Hosting::of(doing("echo hi", SandboxSpec::default()), machines);
    assert_eq!(hosting.said().await, "hi");
}
