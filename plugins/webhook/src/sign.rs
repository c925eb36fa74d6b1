//! Signatures of Standard Webhooks: HMAC-SHA256 over id, time and body.

use tidegate_plugin::host::{self, CredentialError};

/// The three headers. `key` names the credential; its secret stays with the host.
pub(crate) fn headers(
    key: &str,
    id: &str,
    seconds: u64,
    body: &str,
) -> Result<[(String, String); 3], CredentialError> {
    let signed = format!("{id}.{seconds}.{body}");
    let mac = host::credential_hmac(key, signed.as_bytes())?;
    Ok([
        ("webhook-id".to_owned(), id.to_owned()),
        ("webhook-timestamp".to_owned(), seconds.to_string()),
        ("webhook-signature".to_owned(), format!("v1,{}", base64(&mac))),
    ])
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for piece in bytes.chunks(3) {
        let byte = |place: usize| u32::from(piece.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let six = usize::try_from(bits >> (18 - 6 * place) & 63).unwrap_or(0);
            let letter = ALPHABET.get(six).filter(|_| place <= piece.len());
            out.push(char::from(letter.copied().unwrap_or(b'=')));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64_is_that_of_the_standard() {
        let table =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (text, expected) in table {
            assert_eq!(super::base64(text.as_bytes()), expected);
        }
        assert_eq!(super::base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }
}
