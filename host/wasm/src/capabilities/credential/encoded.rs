//! A secret as others may write it down: the texts by which a copy of it is known.
//!
//! Besides the text itself, percent-encoded and within JSON: hexadecimal digits of either
//! case, and base64 of either alphabet, wherever the secret begins in what was encoded (three
//! ways). Of base64, the characters that the secret alone decides; at most four bits at either
//! end stand in characters that it shares with its neighbours.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use zeroize::Zeroizing;

use super::exchange::Encoding;

/// Encoded texts that are shorter would be found where there is no secret.
const SHORTEST: usize = 8;

/// Every text by which `secret` is known, each once.
pub(super) fn forms(secret: &str) -> Vec<Zeroizing<Vec<u8>>> {
    let mut forms: Vec<Zeroizing<Vec<u8>>> = Vec::new();
    let mut add = |form: Zeroizing<Vec<u8>>, shortest: usize| {
        if form.len() >= shortest && !forms.contains(&form) {
            forms.push(form);
        }
    };
    for encoding in [Encoding::Plain, Encoding::Percent, Encoding::Json] {
        let mut form = Zeroizing::new(Vec::with_capacity(encoding.length(secret)));
        encoding.write(secret, &mut form);
        add(form, 1);
    }
    for digits in [b"0123456789abcdef", b"0123456789ABCDEF"] {
        add(hex(secret, digits), SHORTEST);
    }
    for before in 0..3 {
        let form = base64(secret, before);
        add(with_other_alphabet(&form), SHORTEST);
        add(form, SHORTEST);
    }
    forms
}

fn hex(secret: &str, digits: &[u8; 16]) -> Zeroizing<Vec<u8>> {
    let digit = |value: u8| digits.get(usize::from(value)).copied().unwrap_or_default();
    let mut form = Zeroizing::new(Vec::with_capacity(secret.len() * 2));
    form.extend(secret.bytes().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
    form
}

/// The middle of what base64 makes of the secret where so many bytes stand before it, modulo
/// three.
fn base64(secret: &str, before: usize) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(Vec::with_capacity(before + secret.len()));
    text.resize(before, 0);
    text.extend_from_slice(secret.as_bytes());
    let mut whole = Zeroizing::new(vec![0; text.len().div_ceil(3) * 4]);
    let length = STANDARD_NO_PAD.encode_slice(&*text, &mut whole).unwrap_or_default();
    // Characters of six bits, of which some are the neighbours' in part.
    let (from, to) = ((before * 8).div_ceil(6), (text.len() * 8 / 6).min(length));
    Zeroizing::new(whole.get(from..to).unwrap_or_default().to_vec())
}

fn with_other_alphabet(form: &[u8]) -> Zeroizing<Vec<u8>> {
    let other = |byte: &u8| match byte {
        b'+' => b'-',
        b'/' => b'_',
        other => *other,
    };
    let mut exchanged = Zeroizing::new(Vec::with_capacity(form.len()));
    exchanged.extend(form.iter().map(other));
    exchanged
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    fn is_known(secret: &str, text: &str) -> bool {
        let forms = forms(secret);
        forms.iter().any(|form| memchr::memmem::find(text.as_bytes(), form).is_some())
    }

    #[test]
    fn a_secret_is_known_in_every_form() {
        // Bytes with which both characters occur in which the alphabets differ.
        for secret in ["canary-6d1f", "??>>??>>~~~", "\"ÿþÿþÿþÿþ", "12345678"] {
            assert!(forms(secret).len() <= 11, "each costs a search");
            for before in ["", "u", "us", "user:", "a longer name:"] {
                for after in ["", "!", "!!", "!!!", " and more"] {
                    let whole = format!("{before}{secret}{after}");
                    for text in [
                        whole.clone(),
                        STANDARD.encode(&whole),
                        URL_SAFE.encode(&whole),
                        STANDARD_NO_PAD.encode(&whole),
                        whole.bytes().map(|byte| format!("{byte:02x}")).collect(),
                        whole.bytes().map(|byte| format!("{byte:02X}")).collect(),
                    ] {
                        assert!(is_known(secret, &text), "{whole} as {text}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_form_covers_all_but_the_ends() {
        let secret = "canary-6d1f/+x~";
        for before in 0..3 {
            let whole = format!("{}{secret}", "u".repeat(before));
            let encoded = STANDARD.encode(&whole);
            let form = String::from_utf8(base64(secret, before).to_vec()).unwrap();
            let at = encoded.find(&form).unwrap();
            assert!(at <= before * 8 / 6 + 1, "{form} in {encoded}");
            assert!(encoded.trim_end_matches('=').len() - (at + form.len()) <= 1);
        }
    }

    #[test]
    fn short_ones_are_known_by_themselves_only() {
        assert_eq!(forms("").len(), 0);
        assert_eq!(forms("abc").len(), 1);
        let counted: Vec<_> = ["abcd", "abcdefgh", "a/b?c>d~"].map(|it| forms(it).len()).into();
        assert_eq!(counted, [2, 5, 10]);
    }
}
