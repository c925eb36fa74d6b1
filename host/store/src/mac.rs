//! HMAC-SHA256 with keys of 32 bytes, behind one function.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// HMAC-SHA256 over the parts in a row; the caller makes their borders unambiguous.
pub(crate) fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // A key shorter than the block is padded with zeros, as RFC 2104 has it.
    let mut block = zeroize::Zeroizing::new([0_u8; 64]);
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let mut mac = Hmac::<Sha256>::new(&(*block).into());
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    #[test]
    fn agrees_with_the_general_form() {
        use hmac::{KeyInit as _, Mac as _};
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&[7; 32]).unwrap();
        mac.update(b"ab");
        let wanted: [u8; 32] = mac.finalize().into_bytes().into();
        assert_eq!(super::hmac(&[7; 32], &[b"a", b"b"]), wanted);
    }
}
