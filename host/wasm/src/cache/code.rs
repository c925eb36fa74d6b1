//! The code of an entry, out of reach before it is looked at.
//!
//! A file in the folder can change at any time, also after it was checked. So its code is
//! copied first: on Linux into a file in memory that is then sealed, which nobody can change
//! any more and which the engine maps as it is, without a second copy; elsewhere, or where the
//! system gives no such file, into memory of our own. Knows nothing of keys.

use std::{
    fs::File,
    io,
    os::{fd::AsRawFd, unix::fs::FileExt},
    path::PathBuf,
};

use super::digests;

/// A private copy of what follows the head of an entry.
pub(super) enum Code {
    /// In a sealed file of so many bytes.
    Sealed(File, usize),
    /// In memory.
    Held(Vec<u8>),
}

impl Code {
    /// Copies the file from the byte `from` on.
    pub(super) fn copy(file: &File, from: usize) -> io::Result<Self> {
        let size = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let size = size.saturating_sub(from);
        match sealed::copy(file, from, size) {
            Ok(copy) => Ok(Self::Sealed(copy, size)),
            Err(error) => {
                tracing::debug!(%error, "no sealed copy of compiled code; memory is used");
                let mut code = vec![0; size];
                file.read_exact_at(&mut code, u64::try_from(from).map_err(io::Error::other)?)?;
                Ok(Self::Held(code))
            }
        }
    }

    /// The digests of the copy.
    pub(super) fn digests(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::Sealed(file, size) => digests::of_file(file, *size),
            Self::Held(code) => digests::of(code),
        }
    }

    /// Under which name this process can map the copy, where it is a file. The name holds for
    /// as long as the copy lives.
    pub(super) fn mappable(&self) -> Option<PathBuf> {
        match self {
            Self::Sealed(file, _) => Some(format!("/proc/self/fd/{}", file.as_raw_fd()).into()),
            Self::Held(_) => None,
        }
    }

    /// The copy's bytes.
    pub(super) fn bytes(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Sealed(file, size) => {
                let mut code = vec![0; size];
                file.read_exact_at(&mut code, 0)?;
                Ok(code)
            }
            Self::Held(code) => Ok(code),
        }
    }
}

#[cfg(target_os = "linux")]
mod sealed {
    use std::{fs::File, io};

    use rustix::fs::{
        MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create, sendfile,
    };

    /// A file in memory with `size` bytes of the other one, which nobody can change.
    pub(super) fn copy(file: &File, from: usize, size: usize) -> io::Result<File> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let copy = File::from(memfd_create("tidegate-code", flags)?);
        let from = u64::try_from(from).map_err(io::Error::other)?;
        let mut at = from;
        let mut left = size;
        while left > 0 {
            let sent = sendfile(&copy, file, Some(&mut at), left)?;
            if sent == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left = left.saturating_sub(sent);
        }
        let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
        fcntl_add_seals(&copy, seals)?;
        if !fcntl_get_seals(&copy)?.contains(seals) {
            return Err(io::Error::other("the system sealed nothing"));
        }
        Ok(copy)
    }
}

#[cfg(not(target_os = "linux"))]
mod sealed {
    use std::{fs::File, io};

    pub(super) fn copy(_file: &File, _from: usize, _size: usize) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_copy_has_what_follows_the_head() {
        for size in [0, 5, 100, 100_000] {
            let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            let rest = bytes.get(7..).unwrap_or_default();
            let code = Code::copy(&file, 7).unwrap();
            assert_eq!(code.digests().unwrap(), digests::of(rest).unwrap(), "{size}");
            assert_eq!(code.bytes().unwrap(), rest, "{size}");
        }
    }

    #[test]
    fn what_happens_to_the_file_later_does_not_reach_the_copy() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"what was checked").unwrap();
        let code = Code::copy(&file, 0).unwrap();
        file.write_all_at(b"what is run     ", 0).unwrap();
        file.set_len(3).unwrap();
        assert_eq!(code.bytes().unwrap(), b"what was checked");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn nobody_can_change_the_copy() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"code").unwrap();
        let code = Code::copy(&file, 0).unwrap();
        let name = code.mappable().expect("sealed");
        for writer in [
            File::options().write(true).open(&name).unwrap(),
            File::options().append(true).open(&name).unwrap(),
        ] {
            writer.write_all_at(b"evil", 0).unwrap_err();
            writer.set_len(0).unwrap_err();
            writer.set_len(9).unwrap_err();
        }
        assert_eq!(std::fs::read(name).unwrap(), b"code");
    }
}
