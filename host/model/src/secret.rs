//! A value that cannot be printed, serialised or compared by accident.
//!
//! Knows nothing of where secrets come from or are kept.

use std::fmt;

use zeroize::Zeroizing;

/// Secret text: wiped on drop, shown as `***`, without `Serialize` and `PartialEq`.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the one line that hands it to a header, a hash or a child's environment.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_prints() {
        assert_eq!(format!("{:?}", Secret::new("canary".into())), "***");
    }
}
