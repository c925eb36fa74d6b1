//! Signatures and pins: what was not signed, or was exchanged, does not run.

use std::os::unix::fs::PermissionsExt;

use super::{digest, done, echo, file, listed, version};
use crate::{guests::guest, support::Setup};

#[tokio::test]
async fn only_signed_components_run_where_signatures_are_required() {
    let mock = echo().await;
    let builds = tempfile::tempdir().unwrap();
    let at = |name: &str| builds.path().join(name).to_str().unwrap().to_owned();
    let path = version(builds.path(), "bench-pass", 1);
    let source = path.to_str().unwrap();
    let free = Setup::new();
    for name in ["ops", "stranger"] {
        let made = free.bare_cli(&["plugin", "keygen", &at(name)]).await;
        assert!(made.ok && made.stdout.contains("[plugins.keys]"), "{made:?}");
        let mode = std::fs::metadata(at(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = free.bare_cli(&["plugin", "keygen", &at(name)]).await;
        assert!(!again.ok && again.stderr.contains("never written over"), "{again:?}");
    }
    let public = std::fs::read_to_string(at("ops.pub")).unwrap();
    let strict = Setup::simple(&mock).settings(&format!(
        "[plugins]\nrequire_signature = true\n[plugins.keys]\nops = \"{}\"",
        public.trim()
    ));
    let install = ["plugin", "install", source, "--name", "p", "--yes"];
    let refused = strict.cli(&install).await;
    assert!(!refused.ok && refused.stderr.contains("tidegate plugin sign"), "{refused:?}");

    let sign = async |key: &str| {
        let signed = free.bare_cli(&["plugin", "sign", source, "--key", &at(key)]).await;
        assert!(signed.ok && signed.stdout.contains(&digest(&path)), "{signed:?}");
    };
    sign("stranger").await;
    let refused = strict.cli(&install).await;
    assert!(!refused.ok && refused.stderr.contains("made its signature"), "{refused:?}");
    assert!(!strict.config().join("plugins/p.toml").exists());
    let only = free.cli(&["plugin", "install", source, "--yes", "--key", &at("ops.pub")]).await;
    assert!(!only.ok && only.stderr.contains("none of the keys given"), "{only:?}");
    let private = free.cli(&["plugin", "install", source, "--yes", "--key", &at("ops")]).await;
    assert!(!private.ok && private.stderr.contains("private key"), "{private:?}");

    sign("ops").await;
    assert!(strict.cli(&install).await.ok);
    assert_eq!(listed(&strict, "p").await["signed_by"], "ops");
    done(&strict, &["bind", "p", "--vmcp", "main"]).await;
    let (ended_well, strict) = strict.start().await.stop().await;
    assert!(ended_well);

    // An exchanged component, an exchanged signature, a name that nobody knows.
    let hash = super::short(&digest(&path)).to_owned();
    let placed = strict.config().join(format!("plugins/components/p-{hash}.wasm"));
    let whole = std::fs::read(&placed).unwrap();
    let beside = placed.with_extension("wasm.sig");
    let good = std::fs::read_to_string(&beside).unwrap();
    let text = file(&strict, "p");
    let toml = strict.config().join("plugins/p.toml");
    let other = std::fs::read(guest("hostile")).unwrap();
    for (component, signature, toml_text, words) in [
        (&other, &good, text.clone(), "is pinned"),
        (&whole, &"AAAA".to_owned(), text.clone(), "no signature"),
        (&whole, &good, text.replace("\"ops\"", "\"dev\""), "no key `dev`"),
        (&whole, &good, text.replace("signed_by = \"ops\"\n", ""), "is not signed"),
    ] {
        std::fs::write(&placed, component).unwrap();
        std::fs::write(&beside, signature).unwrap();
        std::fs::write(&toml, toml_text).unwrap();
        let check = strict.bare_cli(&["check", strict.config().to_str().unwrap()]).await;
        assert!(!check.ok && check.stderr.contains(words), "{words}: {check:?}");
        let start = strict.start_refused().await;
        assert!(start.contains(words), "{words}: {start}");
    }
}
