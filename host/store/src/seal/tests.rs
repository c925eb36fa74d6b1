//! RFC 8452 appendix C.2 (AES-256) and C.3 (counter wrap), and RFC 5869 test case 1.

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

/// Key, nonce, associated data, plaintext, result.
const VECTORS: &[(&str, &str, &str, &str, &str)] = &[
    (
        "0100000000000000000000000000000000000000000000000000000000000000",
        "030000000000000000000000",
        "",
        "",
        "07f5f4169bbf55a8400cd47ea6fd400f",
    ),
    (
        "0100000000000000000000000000000000000000000000000000000000000000",
        "030000000000000000000000",
        "",
        "0100000000000000",
        "c2ef328e5c71c83b843122130f7364b761e0b97427e3df28",
    ),
    (
        "0100000000000000000000000000000000000000000000000000000000000000",
        "030000000000000000000000",
        "",
        "010000000000000000000000",
        "9aab2aeb3faa0a34aea8e2b18ca50da9ae6559e48fd10f6e5c9ca17e",
    ),
    (
        "0100000000000000000000000000000000000000000000000000000000000000",
        "030000000000000000000000",
        "",
        "01000000000000000000000000000000",
        "85a01b63025ba19b7fd3ddfc033b3e76c9eac6fa700942702e90862383c6c366",
    ),
    (
        "0100000000000000000000000000000000000000000000000000000000000000",
        "030000000000000000000000",
        "01",
        "0200000000000000",
        "1de22967237a813291213f267e3b452f02d01ae33e4ec854",
    ),
    (
        "0100000000000000000000000000000000000000000000000000000000000000",
        "030000000000000000000000",
        "01",
        "020000000000000000000000",
        "163d6f9cc1b346cd453a2e4cc1a4a19ae800941ccdc57cc8413c277f",
    ),
    (
        "0100000000000000000000000000000000000000000000000000000000000000",
        "030000000000000000000000",
        "010000000000000000000000",
        "02000000",
        "22b3f4cd1835e517741dfddccfa07fa4661b74cf",
    ),
    (
        "e66021d5eb8e4f4066d4adb9c33560e4f46e44bb3da0015c94f7088736864200",
        "e0eaf5284d884a0e77d31646",
        "",
        "",
        "169fbb2fbf389a995f6390af22228a62",
    ),
    (
        "bae8e37fc83441b16034566b7a806c46bb91c3c5aedb64a6c590bc84d1a5e269",
        "e4b47801afc0577e34699b9e",
        "4fbdc66f14",
        "671fdd",
        "0eaccb93da9bb81333aee0c785b240d319719d",
    ),
    (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "000000000000000000000000",
        "",
        "000000000000000000000000000000004db923dc793ee6497c76dcc03a98e108",
        "f3f80f2cf0cb2dd9c5984fcda908456cc537703b5ba70324a6793a7bf218d3eaffffffff000000000000000000000000",
    ),
    (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "000000000000000000000000",
        "",
        "eb3640277c7ffd1303c7a542d02d3e4c0000000000000000",
        "18ce4f0b8cb4d0cac65fea8f79257b20888e53e72299e56dffffffff000000000000000000000000",
    ),
];

#[test]
fn rfc_8452_vectors() {
    for (key, nonce, aad, plain, wanted) in VECTORS {
        let key: [u8; 32] = bytes(key).try_into().unwrap();
        let nonce: [u8; 12] = bytes(nonce).try_into().unwrap();
        let (aad, plain, wanted) = (bytes(aad), bytes(plain), bytes(wanted));
        assert_eq!(seal(&key, &nonce, &aad, &plain).unwrap(), wanted);
        assert_eq!(open(&key, &nonce, &aad, &wanted).unwrap(), plain);
        for at in 0..wanted.len() {
            let mut changed = wanted.clone();
            changed[at] ^= 1;
            assert_eq!(open(&key, &nonce, &aad, &changed), Err(SealError));
        }
    }
}

#[test]
fn derivation_is_hkdf_sha256() {
    // RFC 5869 with a 32-byte secret, worked out from its definition by HMAC.
    let (secret, salt, info) = ([0x0b; 32], b"salt", b"info");
    let mut salt_key = [0; 32];
    salt_key[..4].copy_from_slice(salt);
    let prk = crate::mac::hmac(&salt_key, &[&secret]);
    let wanted = crate::mac::hmac(&prk, &[info, &[1]]);
    assert_eq!(*derive(&secret, Some(salt), &[info]), wanted);
    assert_eq!(*derive(&secret, Some(salt), &[b"in", b"fo"]), wanted);
}
