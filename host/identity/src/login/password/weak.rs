//! Passwords that others would guess first.

/// Characters that a password has at least.
pub const SHORTEST: usize = 12;
/// Characters that a password has at most.
pub const LONGEST: usize = 256;
/// Bytes of the longest.
pub(super) const BYTES: usize = LONGEST * 4;

/// Why a new password was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Weak {
    /// It is too short.
    #[error("a password has at least {SHORTEST} characters")]
    Short,
    /// It is too long.
    #[error("a password has at most {LONGEST} characters")]
    Long,
    /// It is the address or the name, or holds little else.
    #[error("a password is not the e-mail address or the name: choose something else")]
    Name,
    /// It is among those that are tried first.
    #[error("this password is among the most usual ones: choose something else")]
    Usual,
}

/// The most usual passwords of twelve characters and more, and what shorter ones are filled up
/// with. A longer one that consists of these and digits is no better.
const USUAL: [&str; 34] = [
    "123456789",
    "0987654321",
    "password",
    "passwort",
    "passw0rd",
    "p@ssword",
    "p@ssw0rd",
    "qwertyuiop",
    "qwertzuiop",
    "qwerty",
    "asdfghjkl",
    "zxcvbnm",
    "1q2w3e4r5t",
    "1qaz2wsx3edc",
    "abcdefghijkl",
    "abc123",
    "letmein",
    "welcome",
    "iloveyou",
    "princess",
    "sunshine",
    "football",
    "baseball",
    "superman",
    "administrator",
    "admin",
    "changeme",
    "secret",
    "default",
    "trustno1",
    "correcthorsebatterystaple",
    "tidegate",
    "dragon",
    "monkey",
];

/// Refuses what is guessed first. `names` are those of the account.
pub(super) fn check(password: &str, names: &[&str]) -> Result<(), Weak> {
    let length = password.chars().count();
    if length < SHORTEST {
        return Err(Weak::Short);
    }
    if length > LONGEST {
        return Err(Weak::Long);
    }
    let plain: String = password.to_lowercase().chars().filter(|c| !c.is_whitespace()).collect();
    let mut own: Vec<String> = Vec::new();
    for name in names {
        let name = name.to_lowercase();
        own.extend(name.split_once('@').map(|(local, _)| local.to_owned()));
        own.push(name);
    }
    let mut own: Vec<&str> = own.iter().map(String::as_str).filter(|name| name.len() > 3).collect();
    own.sort_unstable_by_key(|name| std::cmp::Reverse(name.len()));
    if rest(&plain, &own) < 4 {
        return Err(Weak::Name);
    }
    let different: std::collections::BTreeSet<char> = plain.chars().collect();
    if different.len() < 4 || rest(&plain, &USUAL) < 4 || is_run(&plain) {
        return Err(Weak::Usual);
    }
    Ok(())
}

/// How many characters stay when these words, digits and signs are taken out.
fn rest(text: &str, words: &[&str]) -> usize {
    let mut left = text.to_owned();
    for word in words {
        left = left.replace(word, "");
    }
    if left.len() == text.len() {
        return text.chars().count();
    }
    left.chars().filter(|c| c.is_alphabetic()).count()
}

/// Whether each character follows the one before it, up or down.
fn is_run(text: &str) -> bool {
    let codes: Vec<u32> = text.chars().map(u32::from).collect();
    let steps = |by: i64| {
        let pairs = codes.iter().zip(codes.iter().skip(1));
        pairs.filter(|(a, b)| i64::from(**b) - i64::from(**a) == by).count() + 3 >= codes.len()
    };
    steps(1) || steps(-1)
}
