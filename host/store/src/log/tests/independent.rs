//! The log as others see it: raw bytes by the documented offsets, `tlog_tiles` for the tree,
//! `signed_note` for the checkpoints.

use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{Checkpoint as TheirCheckpoint, tlog};

use super::*;

/// Frames read by nothing but FORMAT.md.
fn raw_frames(dir: &Path) -> Vec<Vec<u8>> {
    let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|end| end == "seg"));
    names.sort();
    let mut frames = Vec::new();
    for path in names {
        let bytes = std::fs::read(path).unwrap();
        let mut at = 12_288;
        while at + 4 <= bytes.len() {
            let len = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
            if len == 0 {
                break;
            }
            frames.push(bytes[at..at + 48 + len].to_vec());
            at += 48 + len;
        }
    }
    frames
}

struct Hashes(Vec<tlog::Hash>);

impl tlog::HashReader for Hashes {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog::Hash>, tlog::Error> {
        Ok(indexes.iter().map(|at| self.0[usize::try_from(*at).unwrap()]).collect())
    }
}

#[test]
fn other_peoples_code_agrees_with_every_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    for count in [1, 1, 2, 3, 58, 64, 1, 130] {
        fill(&log, count);
        log.checkpoint().unwrap();
    }
    log.close().unwrap();

    let mut hashes = Hashes(Vec::new());
    for (n, frame) in raw_frames(dir.path()).iter().enumerate() {
        let new = tlog::stored_hashes(n as u64, frame, &hashes).unwrap();
        hashes.0.extend(new);
    }
    let vkey = std::fs::read_to_string(dir.path().join("audit.pub")).unwrap();
    let text = std::fs::read_to_string(dir.path().join("checkpoints")).unwrap();
    let parts: Vec<&str> = text.split("\n\n").filter(|part| !part.is_empty()).collect();
    let mut before: Option<TheirCheckpoint> = None;
    assert_eq!(parts.len(), 16);
    for pair in parts.chunks(2) {
        let note = Note::from_bytes(format!("{}\n\n{}\n", pair[0], pair[1]).as_bytes()).unwrap();
        let verifier = StandardVerifier::new(vkey.trim()).unwrap();
        let (verified, unverified) =
            note.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();
        assert_eq!((verified.len(), unverified.len()), (1, 0));
        let theirs = TheirCheckpoint::from_bytes(note.text()).unwrap();
        assert_eq!(theirs.origin(), "tidegate.test/log");
        assert_eq!(*theirs.hash(), tlog::tree_hash(theirs.size(), &hashes).unwrap());
        if let Some(before) = before {
            let proof = tlog::prove_tree(theirs.size(), before.size(), &hashes).unwrap();
            tlog::check_tree(&proof, theirs.size(), *theirs.hash(), before.size(), *before.hash())
                .unwrap();
        }
        before = Some(theirs);
    }
    assert_eq!(before.unwrap().size(), 260);
}

#[test]
fn every_frame_points_at_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, 100);
    log.close().unwrap();
    let mut prev = segment::genesis("tidegate.test/log");
    let frames = raw_frames(dir.path());
    assert_eq!(frames.len(), 100);
    for (n, frame) in frames.iter().enumerate() {
        assert_eq!(frame[8..16], (n as u64).to_le_bytes());
        assert_eq!(frame[16..48], prev);
        assert_eq!(frame[48..], record(n as u64));
        prev = tlog::record_hash(frame).0;
    }
}

#[test]
fn a_verifier_key_survives_its_own_text() {
    let key = NoteSigner::new("a.example/log", &[3; 32]).unwrap().verifier().clone();
    let text = key.to_string();
    assert_eq!(VerifierKey::parse(&text).unwrap(), key);
    for bad in ["", "a", "a+b+c", &text[1..], &text[..text.len() - 4], &text.replace("+", "++")] {
        assert!(VerifierKey::parse(bad).is_err(), "{bad}");
    }
}
