//! What the crash programs write, so that the one that checks knows what to expect.

/// Origin of the log.
pub(crate) const ORIGIN: &str = "tidegate.test/crash";

/// The key of record `n`.
pub(crate) fn key(n: u64) -> [u8; 8] {
    n.to_be_bytes()
}

/// The value of record `n`: 100 to 900 bytes that depend on it.
pub(crate) fn value(n: u64) -> Vec<u8> {
    let length = 100 + usize::try_from(n.wrapping_mul(2_654_435_761) % 800).unwrap_or(0);
    (n.wrapping_mul(31)..).map(|byte| (byte % 251) as u8).take(length).collect()
}

/// The blob `n`: more than fits a row.
pub(crate) fn large(n: u64) -> Vec<u8> {
    (n..).map(|byte| (byte % 253) as u8).take(20_000).collect()
}

/// The log record `n`: `n payload|- ` and the value in hexadecimal digits.
pub(crate) fn record(n: u64, payload: Option<&str>) -> Vec<u8> {
    let mut text = format!("{n} {} ", payload.unwrap_or("-"));
    for byte in value(n) {
        text.push_str(&format!("{byte:02x}"));
    }
    text.into_bytes()
}
