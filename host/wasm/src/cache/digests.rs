//! BLAKE3 of code in parts, on a few threads at once.
//!
//! The list of digests stands for the code: no other code has it. Knows nothing of keys.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt, thread};

/// Code that one digest stands for; stays in a core's cache while it is read and hashed.
const PART: usize = 256 << 10;
/// Threads for large code; small code takes none beside the present one.
const THREADS: usize = 4;
/// Code that is small.
const SMALL: usize = 4 << 20;

/// The digests of code in memory, one after the other.
pub(super) fn of(code: &[u8]) -> io::Result<Vec<u8>> {
    spread(code.len(), |range| {
        let share = code.get(range).unwrap_or_default();
        Ok(share.chunks(PART).flat_map(digest).collect())
    })
}

/// The same of the first `size` bytes of a file.
pub(super) fn of_file(file: &File, size: usize) -> io::Result<Vec<u8>> {
    spread(size, |range| {
        let mut part = vec![0; PART.min(range.len())];
        let mut digests = Vec::new();
        for at in range.clone().step_by(PART) {
            let size = part.len().min(range.end - at);
            let part = part.get_mut(..size).unwrap_or_default();
            file.read_exact_at(part, u64::try_from(at).map_err(io::Error::other)?)?;
            digests.extend(digest(part));
        }
        Ok(digests)
    })
}

fn digest(part: &[u8]) -> [u8; 32] {
    *blake3::hash(part).as_bytes()
}

/// Has the digests of consecutive ranges made, each a number of whole parts but the last.
fn spread(
    size: usize,
    digests: impl Fn(Range<usize>) -> io::Result<Vec<u8>> + Sync,
) -> io::Result<Vec<u8>> {
    if size < SMALL {
        return digests(0..size);
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let share = size.div_ceil(PART).div_ceil(cores.min(THREADS)).saturating_mul(PART);
    let digests = &digests;
    thread::scope(|scope| {
        let ranges = (0..size).step_by(share).map(|at| at..size.min(at.saturating_add(share)));
        let under_way: Vec<_> = ranges.map(|range| scope.spawn(move || digests(range))).collect();
        let mut all = Vec::new();
        for share in under_way {
            all.extend(share.join().map_err(|_| io::Error::other("a hashing thread ended"))??);
        }
        Ok(all)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_has_the_digests_of_its_bytes() {
        for size in [0, 1, PART, PART + 1, SMALL - 1, SMALL, SMALL + 3 * PART + 3] {
            let mut bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            let digests = of_file(&file, size).unwrap();
            let each: Vec<u8> = bytes.chunks(PART).flat_map(digest).collect();
            assert_eq!(digests, each, "{size}");
            assert_eq!(of(&bytes).unwrap(), digests, "{size}");
            for at in [0, size / 2, size.saturating_sub(1)] {
                let Some(byte) = bytes.get_mut(at) else { continue };
                *byte ^= 1;
                assert_ne!(of(&bytes).unwrap(), digests, "byte {at} of {size}");
                bytes[at] ^= 1;
            }
            assert!(of_file(&file, size + 1).is_err(), "{size}: the file is shorter");
        }
    }
}
