//! Where root keys come from: the environment, a key service, a credential of systemd.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::{Value, json};

use super::{echo, rotated};
use crate::support::Setup;

/// A root key as it stands in a file.
fn line(digits: &str) -> String {
    format!("tidegate-key-1 {}\n", digits.repeat(64 / digits.len()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_the_environment_is_warned_of_and_a_wrong_one_refused_by_name() {
    let mock = echo().await;
    let (old, new) = (line("0123456789abcdef"), line("fedcba9876543210"));
    let setup = Setup::simple(&mock).settings("[keys]\nprovider = \"env:VAULT_TEST_KEY\"");
    let said = setup.cli(&["serve"]).await.stderr;
    assert!(said.contains("VAULT_TEST_KEY") && said.contains("is not set"), "{said}");
    let gateway = setup.environment("VAULT_TEST_KEY", &old).start().await;
    assert!(gateway.log().contains("THE ROOT KEY IS IN THE ENVIRONMENT"), "{}", gateway.log());
    assert!(!gateway.log().contains("0123456789abcdef"));
    assert!(!gateway.data().join("root.key").exists());
    let first = rotated(&gateway, &["--status"]).await["root"]["current"].clone();
    let first = first.as_str().unwrap().to_owned();
    let refused = gateway.cli(&["key", "rotate", "--root"]).await;
    assert!(!refused.ok && refused.stderr.contains("VAULT_TEST_KEY"), "{refused:?}");

    // Another key alone does not do; after the old one it takes over.
    let (_, setup) = gateway.stop().await;
    let setup = setup.environment("VAULT_TEST_KEY", &new);
    let said = setup.start_refused().await;
    let offered = said.split('`').filter(|word| word.len() == 16).collect::<Vec<_>>();
    assert!(said.contains(&first) && offered.len() == 2, "{said}");
    let second = offered.into_iter().find(|id| **id != *first).unwrap().to_owned();
    let gateway = setup.environment("VAULT_TEST_KEY", &format!("{old}{new}")).start().await;
    let keys = crate::support::eventually("keys wrapped under the new one", || async {
        let keys = rotated(&gateway, &["--status"]).await["root"]["keys"].clone();
        (keys[0]["wraps"] == 0).then_some(keys)
    })
    .await;
    assert_eq!(keys, json!([{ "id": first, "wraps": 0 }, { "id": second, "wraps": 2 }]));
    let (_, setup) = gateway.stop().await;
    setup.environment("VAULT_TEST_KEY", &new).start().await;
}

/// A key service in a few lines: it keeps its keys in a file of its own, one id a line, the last
/// one current, and notes what it was asked. Not how a real one would wrap.
const SERVICE: &str = r#"
import base64, hashlib, json, sys
folder = sys.argv[1]
def mask(key, id):
    pad = hashlib.sha256(id.encode()).digest()
    return bytes(a ^ b for a, b in zip(key, pad))
for line in sys.stdin:
    ids = open(folder + "/ids").read().split()
    asked = json.loads(line)
    with open(folder + "/asked", "a") as file:
        print(asked["op"], file=file)
    if asked["op"] == "describe":
        answer = {"current": ids[-1], "ids": ids}
    elif asked["op"] == "wrap":
        key = base64.b64decode(asked["key"])
        wrapped = base64.b64encode(mask(key, ids[-1])).decode()
        answer = {"id": ids[-1], "wrapped": wrapped}
    elif asked["op"] == "unwrap" and asked["id"] in ids:
        key = mask(base64.b64decode(asked["wrapped"]), asked["id"])
        answer = {"key": base64.b64encode(key).decode()}
    else:
        answer = {"error": "there is no such key"}
    print(json.dumps(answer), flush=True)
"#;

fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_service_holds_the_root_keys_and_replaces_them() {
    const IDS: [&str; 2] = ["00000000000000aa", "00000000000000bb"];
    let mock = echo().await;
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "service.py", SERVICE);
    write(dir.path(), "ids", IDS[0]);
    let folder = dir.path().display();
    let provider = format!("[keys]\nprovider = \"exec:python3 {folder}/service.py {folder}\"");
    let gateway = Setup::simple(&mock).settings(&provider).start().await;
    assert!(!gateway.data().join("root.key").exists());
    let refused = gateway.cli(&["key", "rotate"]).await;
    assert!(!refused.ok && refused.stderr.contains("make a new key current there"), "{refused:?}");
    write(dir.path(), "ids", &IDS.join("\n"));
    let done = rotated(&gateway, &["--wait"]).await;
    assert_eq!((&done["root"], &done["wrapped"]), (&json!(IDS[1]), &json!(2)));
    let refused = gateway.cli(&["key", "rotate", "--retire", IDS[0]]).await;
    assert!(!refused.ok && refused.stderr.contains("disable it there"), "{refused:?}");
    let (_, setup) = gateway.stop().await;
    // The old one is gone at the service, and nobody misses it.
    write(dir.path(), "ids", IDS[1]);
    let gateway = setup.start().await;
    let keys: Value = rotated(&gateway, &["--status"]).await["root"]["keys"].clone();
    assert_eq!(keys, json!([{ "id": IDS[1], "wraps": 3 }]));
    let asked = std::fs::read_to_string(dir.path().join("asked")).unwrap();
    assert!(["describe", "wrap", "unwrap"].iter().all(|op| asked.contains(op)), "{asked}");
    let (_, setup) = gateway.stop().await;
    write(dir.path(), "ids", IDS[0]);
    let said = setup.start_refused().await;
    assert!(IDS.iter().all(|id| said.contains(id)), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_of_systemd_is_a_source() {
    let mock = echo().await;
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "tidegate-root", &line("0123456789abcdef"));
    let private = std::fs::Permissions::from_mode(0o400);
    std::fs::set_permissions(dir.path().join("tidegate-root"), private).unwrap();
    let setup = Setup::simple(&mock).settings("[keys]\nprovider = \"credential:tidegate-root\"");
    let said = setup.start_refused().await;
    assert!(said.contains("LoadCredential="), "{said}");
    let folder = dir.path().display().to_string();
    let gateway = setup.environment("CREDENTIALS_DIRECTORY", &folder).start().await;
    let refused = gateway.cli(&["key", "rotate", "--root"]).await;
    assert!(!refused.ok && refused.stderr.contains("add a line with a new key"), "{refused:?}");
    for (provider, wanted) in [("vault:x", "is not known"), ("exec: ", "is not known")] {
        let text = format!("[keys]\nprovider = \"{provider}\"");
        let said = Setup::simple(&mock).settings(&text).start_refused().await;
        assert!(said.contains(wanted) && said.contains("credential:NAME"), "{said}");
    }
}
