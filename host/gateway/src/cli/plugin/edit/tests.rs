use super::*;

const FILE: &str = r#"# Owned by the data team.
component = "components/redact-aa.wasm" # in force
digest = "sha256:aa"
mode = "enforce"
grants = ["log"]

# What it masks.
[config]
mode = "mask" # not "block"
kinds = ["card"]

[limits]
time_ms = 20

[[bind]]
vmcp = "sales"   # the team's own

[[bind]]
connector = "crm"
order = 5
"#;

fn edit(text: &str) -> (tempfile::TempDir, Edit) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("redact.toml");
    fs::write(&file, text).unwrap();
    let edit = Edit::read(&PluginId::new("redact").unwrap(), &file).unwrap();
    (dir, edit)
}

fn version(name: &str) -> VersionConfig {
    VersionConfig {
        component: format!("components/redact-{name}.wasm").into(),
        digest: Some(format!("sha256:{name}")),
        source: None,
        signed_by: None,
    }
}

/// What it would be when it is read again.
fn again(edit: &Edit) -> PluginConfig {
    let text = edit.text();
    toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn nothing_changed_is_the_same_text() {
    assert_eq!(edit(FILE).1.text(), FILE);
}

#[test]
fn settings_change_where_they_stand() {
    let (_dir, mut edit) = edit(FILE);
    edit.set("mode", "observe");
    edit.set("disabled", true);
    edit.set_in("config", "mode", "block".into()).unwrap();
    edit.set_in("config", "deep.er", 7.into()).unwrap();
    edit.set_in("limits", "wait_ms", 100.into()).unwrap();
    edit.set_grants(["http", "log"]);
    let expected = FILE
        .replace("\"enforce\"", "\"observe\"")
        .replace("mode = \"mask\"", "mode = \"block\"")
        .replace("[\"log\"]\n", "[\"http\", \"log\"]\ndisabled = true\n")
        .replace("[\"card\"]\n", "[\"card\"]\ndeep = { er = 7 }\n")
        .replace("time_ms = 20\n", "time_ms = 20\nwait_ms = 100\n");
    assert_eq!(edit.text(), expected);
    edit.unset("disabled");
    assert!(!again(&edit).disabled);
    for bad in ["", "a..b", "mode.inner"] {
        assert!(edit.set_in("config", bad, 1.into()).is_err(), "{bad}");
    }
}

#[test]
fn versions_follow_each_other_and_come_back() {
    let (dir, mut first) = edit(FILE);
    first.put_in_force(&version("bb"));
    let text = first.text();
    assert!(text.contains("component = \"components/redact-bb.wasm\" # in force"), "{text}");
    let file = dir.path().join("redact.toml");
    let step = |text: &str, change: &dyn Fn(&mut Edit)| {
        fs::write(&file, text).unwrap();
        let mut edit = Edit::read(&PluginId::new("redact").unwrap(), &file).unwrap();
        change(&mut edit);
        edit.text()
    };
    let shown = |text: &str| {
        let config: PluginConfig = toml::from_str(text).unwrap();
        let previous = config.previous.iter().map(|it| it.digest.clone().unwrap());
        let all: Vec<String> = config.digest.clone().into_iter().chain(previous).collect();
        all.join(" ").replace("sha256:", "")
    };
    assert_eq!(shown(&text), "bb aa");
    let mut text = text;
    for name in ["cc", "dd", "ee", "ff", "gg"] {
        text = step(&text, &|edit| edit.put_in_force(&version(name)));
    }
    assert_eq!(shown(&text), "gg ff ee dd cc bb");
    let back = |edit: &mut Edit| {
        let before = edit.config().unwrap().previous[0].clone();
        edit.put_in_force(&before);
    };
    let text = step(&text, &back);
    assert_eq!(shown(&text), "ff gg ee dd cc bb");
    assert_eq!(shown(&step(&text, &back)), "gg ff ee dd cc bb");
    assert!(text.starts_with("# Owned by the data team.\n") && text.contains("# What it masks."));
}

#[test]
fn a_held_version_waits_beside_the_one_in_force() {
    let (dir, mut edit) = edit(FILE);
    let held = HeldConfig {
        component: version("bb").component,
        digest: "sha256:bb".to_owned(),
        source: Some("file:///x".to_owned()),
        signed_by: Some("ops".to_owned()),
        needs: vec!["http".to_owned()],
    };
    edit.hold(&held);
    let config = again(&edit);
    assert_eq!((config.held.as_ref(), config.digest.as_deref()), (Some(&held), Some("sha256:aa")));
    fs::write(dir.path().join("redact.toml"), edit.text()).unwrap();
    let mut edit = Edit::read(edit.id(), edit.file()).unwrap();
    let waiting = edit.held().unwrap();
    edit.put_in_force(&waiting);
    let config = again(&edit);
    assert_eq!((config.held, config.digest.as_deref()), (None, Some("sha256:bb")));
    assert_eq!((config.signed_by.as_deref(), config.previous.len()), (Some("ops"), 1));
}

#[test]
fn bindings_are_added_changed_and_taken_away() {
    let inline = "component = \"x.wasm\"\nbind = [{ vmcp = \"sales\" }, { connector = \"crm\", order = 5 }]\n";
    for text in [FILE, inline] {
        let (_dir, mut edit) = edit(text);
        let at = |vmcp: Option<&str>, order| BindConfig {
            vmcp: vmcp.map(str::to_owned),
            order,
            ..BindConfig::default()
        };
        edit.bind(&at(Some("sales"), 0), Some(3));
        edit.bind(&at(Some("support"), 0), None);
        edit.bind(&at(None, 0), None);
        // Without an order the one that is there stays.
        edit.bind(&BindConfig { connector: Some("crm".into()), ..BindConfig::default() }, None);
        let crm = BindConfig { connector: Some("crm".into()), order: 5, ..BindConfig::default() };
        let expected = [at(Some("sales"), 3), crm, at(Some("support"), 0), at(None, 0)];
        assert_eq!(again(&edit).bind, expected);
        assert_eq!(edit.unbind(|bind| bind.connector.is_some()), 1);
        assert_eq!(again(&edit).bind.len(), 3);
        assert_eq!(edit.unbind(|bind| bind.tool.is_some()), 0);
    }
    let (_dir, mut none) = edit("component = \"x.wasm\"\n");
    none.bind(&BindConfig { tool: Some("crm/search".into()), ..BindConfig::default() }, None);
    assert_eq!(none.text(), "component = \"x.wasm\"\n\n[[bind]]\ntool = \"crm/search\"\n");
}

#[test]
fn a_file_that_cannot_be_read_is_not_changed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("redact.toml");
    let id = PluginId::new("redact").unwrap();
    assert!(Edit::read(&id, &file).unwrap().is_new());
    for bad in ["component = ", "component = \"x\"\nunknown = 1"] {
        fs::write(&file, bad).unwrap();
        let error = Edit::read(&id, &file).unwrap_err();
        assert!(error.to_string().contains("redact.toml:"), "{error}");
    }
}
