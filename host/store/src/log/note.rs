//! Checkpoints: a C2SP tlog-checkpoint in a C2SP signed note, signed with Ed25519.
//!
//! The text is `origin\nsize\nroot\n`; the key's name is the origin. The `checkpoints` file
//! is a run of notes, each followed by an empty line. Reading takes exactly what writing
//! makes, one signature and no extension lines; other parties' cosignatures live elsewhere.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use super::frame::Hash;

/// The algorithm byte of Ed25519 in a verifier key.
const ED25519: u8 = 1;

/// A statement about the first `size` records of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's origin line.
    pub origin: String,
    /// How many records it covers.
    pub size: u64,
    /// The RFC 6962 root over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The signed text.
    pub(crate) fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }
}

/// A key, a note or a checkpoint that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// A verifier key that is none.
    #[error(
        "`{0}` is no verifier key: expected `<name>+<8 hex digits>+<base64>` as in the file audit.pub"
    )]
    BadKey(String),
    /// An origin that cannot name a key.
    #[error("`{0}` cannot name a log: use 1 to 180 printable characters without spaces and `+`")]
    BadOrigin(String),
    /// Text that is no signed checkpoint.
    #[error("this is no signed checkpoint of three lines, an empty line and one signature")]
    Malformed,
    /// A checkpoint of another log or another key.
    #[error("the checkpoint is of `{found}`, not of `{wanted}`")]
    OtherLog {
        /// What the key is for.
        wanted: String,
        /// What the note says.
        found: String,
    },
    /// A signature that does not verify.
    #[error("the signature of the checkpoint over {size} records does not verify with this key")]
    BadSignature {
        /// What it claims to cover.
        size: u64,
    },
}

/// Whether `origin` can stand in a note.
pub(crate) fn check_origin(origin: &str) -> Result<(), NoteError> {
    let fits = !origin.is_empty() && origin.len() <= 180;
    if fits && origin.chars().all(|c| !c.is_whitespace() && !c.is_control() && c != '+') {
        Ok(())
    } else {
        Err(NoteError::BadOrigin(origin.chars().take(80).collect()))
    }
}

/// The public key of a log: verifies its checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    key: VerifyingKey,
}

impl VerifierKey {
    fn new(name: &str, key: VerifyingKey) -> Self {
        let hash = Sha256::new()
            .chain_update(name.as_bytes())
            .chain_update([b'\n', ED25519])
            .chain_update(key.as_bytes())
            .finalize();
        let mut id = [0; 4];
        id.iter_mut().zip(hash.iter()).for_each(|(to, from)| *to = *from);
        Self { name: name.to_owned(), id, key }
    }

    /// Reads the form that its `Display` writes (C2SP `vkey`).
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let bad = || NoteError::BadKey(text.trim().chars().take(120).collect());
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad());
        };
        check_origin(name)?;
        let bytes = STANDARD.decode(key).map_err(|_| bad())?;
        let Some((&ED25519, key)) = bytes.split_first() else { return Err(bad()) };
        let key = <[u8; 32]>::try_from(key).map_err(|_| bad())?;
        let read = Self::new(name, VerifyingKey::from_bytes(&key).map_err(|_| bad())?);
        if hex(&read.id) == id { Ok(read) } else { Err(bad()) }
    }

    /// The log's origin.
    pub fn origin(&self) -> &str {
        &self.name
    }

    /// Checks a signed note and gives the checkpoint in it.
    pub fn check(&self, note: &str) -> Result<Checkpoint, NoteError> {
        let parsed = SignedNote::parse(note)?;
        self.check_parsed(&parsed)
    }

    pub(crate) fn check_parsed(&self, note: &SignedNote) -> Result<Checkpoint, NoteError> {
        if note.checkpoint.origin != self.name || note.name != self.name || note.key_id != self.id {
            return Err(NoteError::OtherLog {
                wanted: self.to_string(),
                found: format!("{}+{}", note.name, hex(&note.key_id)),
            });
        }
        let text = note.checkpoint.text();
        self.key
            .verify_strict(text.as_bytes(), &note.signature)
            .map_err(|_| NoteError::BadSignature { size: note.checkpoint.size })?;
        Ok(note.checkpoint.clone())
    }
}

impl std::fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bytes = vec![ED25519];
        bytes.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{}+{}", self.name, hex(&self.id), STANDARD.encode(bytes))
    }
}

/// Signs checkpoints of one origin.
pub(crate) struct NoteSigner {
    key: SigningKey,
    verifier: VerifierKey,
}

impl NoteSigner {
    pub(crate) fn new(origin: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        check_origin(origin)?;
        let key = SigningKey::from_bytes(seed);
        let verifier = VerifierKey::new(origin, key.verifying_key());
        Ok(Self { key, verifier })
    }

    pub(crate) fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The signed note over the first `size` records.
    pub(crate) fn sign(&self, size: u64, root: Hash) -> String {
        let checkpoint = Checkpoint { origin: self.verifier.name.clone(), size, root };
        let text = checkpoint.text();
        let signature = self.key.sign(text.as_bytes());
        let mut bytes = self.verifier.id.to_vec();
        bytes.extend_from_slice(&signature.to_bytes());
        format!("{text}\n\u{2014} {} {}\n", self.verifier.name, STANDARD.encode(bytes))
    }
}

/// A note whose form is right; its signature is not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignedNote {
    pub(crate) checkpoint: Checkpoint,
    name: String,
    key_id: [u8; 4],
    signature: Signature,
}

impl SignedNote {
    /// Reads one note; the text must be exactly what signing makes.
    pub(crate) fn parse(note: &str) -> Result<Self, NoteError> {
        Self::read(note).ok_or(NoteError::Malformed)
    }

    fn read(note: &str) -> Option<Self> {
        let (text, signature) = note.split_once("\n\n")?;
        let mut lines = text.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        if lines.next().is_some() {
            return None;
        }
        let number: u64 = size.parse().ok()?;
        let root = Hash::try_from(STANDARD.decode(root).ok()?).ok()?;
        let line = signature.strip_prefix("\u{2014} ")?.strip_suffix('\n')?;
        let (name, blob) = line.split_once(' ')?;
        let blob = STANDARD.decode(blob).ok()?;
        let (key_id, signature) = blob.split_first_chunk::<4>()?;
        let signature = Signature::from_bytes(&<[u8; 64]>::try_from(signature).ok()?);
        let checkpoint = Checkpoint { origin: origin.to_owned(), size: number, root };
        let canonical = checkpoint.text() == format!("{text}\n");
        canonical.then_some(Self { checkpoint, name: name.to_owned(), key_id: *key_id, signature })
    }
}

/// The notes of a `checkpoints` file.
#[derive(Debug, Default)]
pub(crate) struct NoteFile {
    /// Those whose form is right, up to the first that is not.
    pub(crate) notes: Vec<SignedNote>,
    /// Bytes that they take.
    pub(crate) good_bytes: usize,
    /// Whether something that is no note stands before a later note.
    pub(crate) damaged: bool,
}

impl NoteFile {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let mut file = Self::default();
        let mut rest = bytes;
        while let Some((note, after)) = next_note(rest) {
            let Some(parsed) = std::str::from_utf8(note).ok().and_then(SignedNote::read) else {
                break;
            };
            file.notes.push(parsed);
            file.good_bytes = bytes.len() - after.len();
            rest = after;
        }
        file.damaged = (0..rest.len().saturating_sub(1))
            .filter(|at| rest.get(*at..at + 2) == Some(b"\n\n"))
            .filter_map(|at| next_note(rest.get(at + 2..)?))
            .filter_map(|(note, _)| std::str::from_utf8(note).ok())
            .any(|note| SignedNote::read(note).is_some());
        file
    }
}

/// Cuts `text \n\n signature \n\n`; the second part keeps its own line end.
fn next_note(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let gap = |from: usize| {
        bytes.get(from..)?.windows(2).position(|pair| pair == b"\n\n").map(|at| from + at)
    };
    let text_end = gap(0)?;
    let end = gap(text_end + 2)?;
    Some((bytes.get(..=end)?, bytes.get(end + 2..)?))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
        text
    })
}
