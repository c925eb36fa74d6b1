//! The bytes of one record.
//!
//! `len u32 ‖ crc32c u32 ‖ seq u64 ‖ prev [32] ‖ bytes`, little endian. `len` counts `bytes`
//! alone and is never 0, so that zero-filled space reads as the end. The checksum covers
//! `seq ‖ prev ‖ bytes`. `prev` is the leaf hash of the frame before; a leaf hash is
//! SHA-256(0x00 ‖ whole frame), as RFC 6962 has it. Knows nothing of segments.

use sha2::{Digest, Sha256};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// Bytes of a frame before the record.
pub(crate) const FRAME_HEADER: usize = 48;

/// The longest record: a whole frame fits the 16-bit length of a C2SP entry bundle.
pub const MAX_RECORD: usize = u16::MAX as usize - FRAME_HEADER;

/// What lies at a place where a frame could be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed<'a> {
    /// A frame whose checksum holds.
    Frame(Frame<'a>),
    /// A length of zero: nothing was written here.
    End,
    /// Anything else.
    Bad,
    /// More bytes are needed to tell: this many in all.
    Short(usize),
}

/// One frame whose checksum holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// Its number in the log, from 0.
    pub(crate) seq: u64,
    /// Leaf hash of the frame before.
    pub(crate) prev: Hash,
    /// The record.
    pub(crate) bytes: &'a [u8],
    /// The whole frame.
    pub(crate) whole: &'a [u8],
}

impl Frame<'_> {
    /// The leaf hash of this frame.
    pub(crate) fn leaf(&self) -> Hash {
        leaf(self.whole)
    }
}

/// SHA-256(0x00 ‖ frame).
pub(crate) fn leaf(frame: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(frame).finalize().into()
}

/// Writes a frame into `out`, replacing what was there.
pub(crate) fn encode(out: &mut Vec<u8>, seq: u64, prev: &Hash, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let number = seq.to_le_bytes();
    let crc = crc32c::crc32c(&number);
    let crc = crc32c::crc32c_append(crc, prev);
    let crc = crc32c::crc32c_append(crc, bytes);
    out.clear();
    out.reserve(FRAME_HEADER + bytes.len());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&number);
    out.extend_from_slice(prev);
    out.extend_from_slice(bytes);
}

/// Length of the whole frame that starts at `buffer`, if its length field can be true.
pub(crate) fn claimed_len(buffer: &[u8]) -> Option<usize> {
    let len = usize::try_from(u32_at(buffer, 0)?).ok()?;
    (len <= MAX_RECORD).then_some(len + FRAME_HEADER)
}

/// Reads what starts at `buffer`.
pub(crate) fn parse(buffer: &[u8]) -> Parsed<'_> {
    let Some(len) = u32_at(buffer, 0) else { return Parsed::Short(FRAME_HEADER) };
    if len == 0 {
        return Parsed::End;
    }
    let Some(total) = claimed_len(buffer) else { return Parsed::Bad };
    let Some(whole) = buffer.get(..total) else { return Parsed::Short(total) };
    let parts = (
        u32_at(whole, 4),
        u64_at(whole, 8),
        whole.get(16..48).and_then(|prev| Hash::try_from(prev).ok()),
        whole.get(8..),
        whole.get(FRAME_HEADER..),
    );
    let (Some(crc), Some(seq), Some(prev), Some(covered), Some(bytes)) = parts else {
        return Parsed::Bad;
    };
    if crc32c::crc32c(covered) != crc {
        return Parsed::Bad;
    }
    Parsed::Frame(Frame { seq, prev, bytes, whole })
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

pub(crate) fn hash_at(bytes: &[u8], at: usize) -> Option<Hash> {
    bytes.get(at..at + 32)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_noticed() {
        let mut frame = Vec::new();
        encode(&mut frame, 7, &[3; 32], b"a record");
        let Parsed::Frame(read) = parse(&frame) else { panic!("no frame") };
        assert_eq!((read.seq, read.prev, read.bytes), (7, [3; 32], &b"a record"[..]));
        for bit in 0..frame.len() * 8 {
            let mut damaged = frame.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let found = parse(&damaged);
            assert!(!matches!(found, Parsed::Frame(_)), "bit {bit}: {found:?}");
        }
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let mut frame = Vec::new();
        encode(&mut frame, 1, &[0xaa; 32], b"xyz");
        assert_eq!(frame.len(), 51);
        assert_eq!(&frame[..4], &[3, 0, 0, 0]);
        assert_eq!(&frame[8..16], &[1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&frame[16..48], &[0xaa; 32]);
        assert_eq!(&frame[48..], b"xyz");
        assert_eq!(frame[4..8], crc32c::crc32c(&frame[8..]).to_le_bytes());
    }
}
