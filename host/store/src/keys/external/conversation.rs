//! One conversation with a key service: lines to it, lines from it, each in time.
//!
//! A program talks on one end of a pair of sockets, so that waiting for it can end. It is
//! stopped with the conversation. Knows nothing of what the lines say.

use std::{
    io::{self, Read as _, Write as _},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use zeroize::Zeroizing;

use super::Reach;

/// The longest answer.
const MOST: usize = 1 << 20;

/// A connection, and the program behind it where there is one.
pub(super) struct Conversation {
    stream: UnixStream,
    child: Option<Child>,
}

impl Conversation {
    /// Starts the program, or connects.
    pub(super) fn begin(reach: &Reach) -> io::Result<Self> {
        match reach {
            Reach::Socket(path) => Ok(Self { stream: UnixStream::connect(path)?, child: None }),
            Reach::Program(program, arguments) => {
                let (stream, theirs) = UnixStream::pair()?;
                let (input, output) = (OwnedFd::from(theirs.try_clone()?), OwnedFd::from(theirs));
                let mut command = Command::new(program);
                command.args(arguments).stdin(Stdio::from(input)).stdout(Stdio::from(output));
                // It may tell of a fault in its answer; what it mutters may hold keys.
                let child = command.stderr(Stdio::null()).spawn()?;
                Ok(Self { stream, child: Some(child) })
            }
        }
    }

    /// Sends a line and gives the next one that comes.
    pub(super) fn ask(&mut self, line: &str, patience: Duration) -> io::Result<Zeroizing<String>> {
        let deadline = Instant::now() + patience;
        let line = Zeroizing::new(format!("{line}\n"));
        self.stream.set_write_timeout(Some(left(deadline)?))?;
        self.stream.write_all(line.as_bytes())?;
        // Of one size from the start: bytes that grow leave pieces of themselves behind.
        let mut answer = Zeroizing::new(Vec::with_capacity(4_096));
        let mut piece = Zeroizing::new([0_u8; 1_024]);
        loop {
            self.stream.set_read_timeout(Some(left(deadline)?))?;
            let read = match self.stream.read(piece.as_mut_slice()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            let came = piece.get(..read).unwrap_or_default();
            match came.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    answer.extend_from_slice(came.get(..end).unwrap_or_default());
                    let text = std::str::from_utf8(&answer).map_err(io::Error::other)?;
                    return Ok(Zeroizing::new(text.to_owned()));
                }
                None if read == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                None if answer.len() + read > MOST => {
                    return Err(io::Error::other("its answer is too long"));
                }
                None => answer.extend_from_slice(came),
            }
        }
    }
}

/// What is left until a moment; an error when nothing is.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It has answered all that it was asked.
            drop(child.kill());
            drop(child.wait());
        }
    }
}
