//! SHA-256 of code in parts of a MiB, read and hashed on a few threads at once: most of the
//! time until a large component is ready is this.
//!
//! The list of digests stands for the code: no other code has it. Knows nothing of keys.

use std::{fs::File, io, os::unix::fs::FileExt, thread};

use sha2::{Digest, Sha256};

/// Code that one digest stands for.
const PART: usize = 1 << 20;
/// Threads for large code; small code takes none beside the present one.
const THREADS: usize = 4;

/// The digests of code in memory, one after the other.
pub(super) fn of(code: &[u8]) -> Vec<u8> {
    code.chunks(PART).flat_map(Sha256::digest).collect()
}

/// Fills `entry` from the beginning of the file, and returns the digests of what follows its
/// first `head` bytes.
pub(super) fn read(file: &File, entry: &mut [u8], head: usize) -> io::Result<Vec<u8>> {
    let Some((first, code)) = entry.split_at_mut_checked(head) else {
        file.read_exact_at(entry, 0)?;
        return Ok(Vec::new());
    };
    file.read_exact_at(first, 0)?;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let parts = code.len().div_ceil(PART).max(1);
    let share = parts.div_ceil(cores.min(THREADS)).saturating_mul(PART);
    if parts < THREADS {
        return piece(file, code, head);
    }
    thread::scope(|scope| {
        let mut at = head;
        let mut under_way = Vec::new();
        for code in code.chunks_mut(share) {
            let from = at;
            at = at.saturating_add(code.len());
            under_way.push(scope.spawn(move || piece(file, code, from)));
        }
        let mut digests = Vec::new();
        for piece in under_way {
            let piece = piece.join().map_err(|_| io::Error::other("a reading thread ended"))?;
            digests.extend(piece?);
        }
        Ok(digests)
    })
}

fn piece(file: &File, code: &mut [u8], from: usize) -> io::Result<Vec<u8>> {
    let mut at = u64::try_from(from).map_err(io::Error::other)?;
    let mut digests = Vec::new();
    for part in code.chunks_mut(PART) {
        file.read_exact_at(part, at)?;
        digests.extend(Sha256::digest(&*part));
        at += u64::try_from(part.len()).map_err(io::Error::other)?;
    }
    Ok(digests)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn reading_gives_the_digests_of_what_was_read() {
        for size in [0, 1, PART, PART + 1, 7 * PART + 3] {
            let mut bytes: Vec<u8> = (0..size + 40).map(|n| (n % 251) as u8).collect();
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            let mut entry = vec![0; bytes.len()];
            let digests = read(&file, &mut entry, 40).unwrap();
            assert!(entry == bytes, "{size}");
            assert_eq!(digests, of(&bytes[40..]), "{size}");
            assert_eq!(digests.len(), size.div_ceil(PART) * 32);
            if size > 0 {
                bytes[39 + size] ^= 1;
                assert_ne!(digests, of(&bytes[40..]), "{size}");
            }
        }
        let mut short = [0; 3];
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abc").unwrap();
        assert_eq!(read(&file, &mut short, 40).unwrap(), [0_u8; 0]);
        assert_eq!(&short, b"abc");
    }
}
