use super::*;

fn read(text: &str) -> PluginConfig {
    toml::from_str(text).expect(text)
}

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn a_whole_file_has_no_fault() {
    let config = read(&format!(
        r#"
component = "components/x.wasm"
digest = "{DIGEST}"
source = "oci://registry.example.com/x@{DIGEST}"
signed_by = "ops"
mode = "observe"
fail = "open"
grants = ["http", "credential", "state"]
[limits]
time_ms = 10000
wait_ms = 300000
[http]
hosts = ["api.example.com", "*.example.org", "api.example.net:8443"]
allow_private = true
[credentials.crm]
env = "CRM_TOKEN"
hosts = ["api.example.com", "a.b.example.org"]
[credentials.signing]
file = "secret"
[state]
quota_kib = 1
[[bind]]
vmcp = "main"
[[previous]]
component = "old.wasm"
[held]
component = "new.wasm"
digest = "{DIGEST}"
needs = ["facts"]
"#
    ));
    assert_eq!(config.faults(), []);
    assert_eq!(config.in_force(), Some(Path::new("components/x.wasm")));
    let mut rooted = config.clone();
    rooted.rooted(Path::new("/etc/plugins"));
    assert_eq!(rooted.component.as_deref(), Some(Path::new("/etc/plugins/components/x.wasm")));
    assert_eq!(
        rooted.credentials["signing"].secret().unwrap().file().unwrap(),
        Path::new("/etc/plugins/secret")
    );
    assert_eq!(rooted.held.unwrap().component, Path::new("/etc/plugins/new.wasm"));
}

#[test]
fn disabled_or_held_alone_nothing_runs() {
    let disabled = read("component = \"x.wasm\"\ndisabled = true");
    assert_eq!((disabled.in_force(), disabled.faults()), (None, vec![]));
    let held = format!("[held]\ncomponent = \"x.wasm\"\ndigest = \"{DIGEST}\"\nneeds = []");
    let held = read(&held);
    assert_eq!((held.in_force(), held.faults()), (None, vec![]));
}

#[test]
fn every_fault_names_its_field() {
    let many = "[[previous]]\ncomponent = \"y.wasm\"\n".repeat(6);
    for (more, field) in [
        ("digest = \"sha256:abc\"", "`digest`"),
        ("[[previous]]\ncomponent = \"y\"\ndigest = \"md5:1\"", "`previous.digest`"),
        (many.as_str(), "`previous` holds 6"),
        ("grants = [\"files\"]", "`grants`"),
        ("limits.time_ms = 0", "`limits.time_ms` is 0"),
        ("limits.time_ms = 10001", "`limits.time_ms` is 10001"),
        ("limits.wait_ms = 300001", "`limits.wait_ms`"),
        ("limits.memory_mib = 257", "`limits.memory_mib`"),
        ("limits.output_kib = 65537", "`limits.output_kib`"),
        ("limits.host_calls = 0", "`limits.host_calls`"),
        ("limits.concurrent = 1001", "`limits.concurrent`"),
        ("limits.table_elements = 10001", "`limits.table_elements`"),
        ("limits.instances = 17", "`limits.instances`"),
        ("http.hosts = [\"https://example.com\"]", "`http.hosts`"),
        ("http.hosts = [\"\"]", "`http.hosts`"),
        ("credentials.crm = {}", "`credentials.crm` names no secret"),
        ("credentials.crm = { env = \"A\", file = \"b\" }", "`credentials.crm` names no secret"),
        ("credentials.\"A b\" = { env = \"A\" }", "`credentials.A b` is no name"),
        (
            "http.hosts = [\"*.example.org\"]\ncredentials.crm = { env = \"A\", hosts = [\"example.org\"] }",
            "`credentials.crm.hosts`",
        ),
        ("state.quota_kib = 0", "`state.quota_kib`"),
    ] {
        let faults = read(&format!("component = \"x.wasm\"\n{more}")).faults();
        let [(fault, help)] = faults.as_slice() else { panic!("{more}: {faults:?}") };
        assert!(fault.contains(field) && !help.is_empty(), "{more}: {fault}");
    }
    assert!(read("mode = \"observe\"").faults()[0].0.contains("`component`"));
    for wrong in ["limits.time = 1", "http.allow = true", "held = {}", "state = 3"] {
        let text = format!("component = \"x.wasm\"\n{wrong}");
        assert!(toml::from_str::<PluginConfig>(&text).is_err(), "{wrong}");
    }
}
