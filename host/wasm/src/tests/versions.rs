//! Versions of the contract side by side, and that a released one stays as it is.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use tidegate_model::Verdict;

use super::*;

/// The released folders of `wit/`. A hash here is never changed: what has to change goes
/// into the next folder.
const RELEASED: [(&str, &str); 1] =
    [("v0.1.0", "90d1113db4113b93434af71db66b4eddc220aae475c5c5e591758670d906f7e2")];

#[test]
fn a_released_contract_is_never_edited() {
    for (folder, expected) in RELEASED {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../wit").join(folder);
        let mut files: Vec<_> =
            std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let mut hash = Sha256::new();
        for file in files {
            let text = std::fs::read(&file).unwrap();
            hash.update(file.file_name().unwrap().as_encoded_bytes());
            hash.update([0]);
            hash.update(u64::try_from(text.len()).unwrap().to_be_bytes());
            hash.update(text);
        }
        let found = hash.finalize().iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        });
        assert_eq!(found, expected, "`wit/{folder}` is released: change the newest folder instead");
    }
}

#[tokio::test]
async fn a_component_of_the_frozen_contract_runs_beside_one_of_the_draft() {
    let sandbox = Sandbox::new(settings()).unwrap();
    let frozen = sandbox.load(guest("hostile")).await.unwrap();
    let draft = sandbox.load(guest("draft-sample")).await.unwrap();
    assert_eq!((frozen.version(), draft.version()), ("0.1.0", "0.2.0-draft"));

    let call = call("delete_everything");
    let context = context_of(&call);
    let config = json("{}");
    let careful = Interceptor::new(&binding(&draft, &config)).unwrap();
    let said = before(&careful, &context, &json("{}")).await.unwrap();
    let expected = Verdict::Refuse("`delete_everything` may destroy".into());
    assert_eq!(said.verdict, expected, "the draft knows the class of a tool");
    let old = hostile(&frozen, "refuse", Limits::default());
    let said = before(&old, &context, &json("{}")).await.unwrap();
    assert_eq!(said.verdict, Verdict::Refuse("not for ae@example.com".into()));
}
