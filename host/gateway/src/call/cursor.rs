//! List cursors: opaque, bound to who asked for what, impossible to forge.
//!
//! A cursor holds the name after which the next page begins, so it survives a change of the
//! catalogue; its MAC covers the virtual MCP and the caller's class, so another caller's
//! cursor is no cursor.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tidegate_identity::Caller;
use tidegate_model::VmcpId;

use super::list::List;

const MAC_BYTES: usize = 16;

/// Which list of which virtual MCP.
type Of<'a> = (&'a VmcpId, List);

/// Makes and opens cursors.
#[derive(Debug, Clone)]
pub(crate) struct Cursors(Hmac<Sha256>);

impl Cursors {
    /// With a key that no one else has.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        // HMAC pads a short key with zeros to the block (RFC 2104), which this does ahead.
        let mut block = [0; 64];
        block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        Self(Hmac::new(&block.into()))
    }

    /// The cursor for the page that begins after `name`.
    pub(crate) fn seal(&self, caller: &Caller, (vmcp, list): Of<'_>, name: &str) -> String {
        let mut bytes: Vec<u8> = self.mac(caller, (vmcp, list), name).to_vec();
        bytes.extend_from_slice(name.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The name in a cursor; `None` for anything that [`Cursors::seal`] did not make for this
    /// caller and virtual MCP.
    pub(crate) fn open(
        &self,
        caller: &Caller,
        (vmcp, list): Of<'_>,
        cursor: &str,
    ) -> Option<String> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (mac, name) = bytes.split_at_checked(MAC_BYTES)?;
        let name = std::str::from_utf8(name).ok()?;
        let mut expected = self.0.clone();
        self.update(&mut expected, caller, (vmcp, list), name);
        expected.verify_truncated_left(mac).ok()?;
        Some(name.to_owned())
    }

    fn mac(&self, caller: &Caller, (vmcp, list): Of<'_>, name: &str) -> [u8; MAC_BYTES] {
        let mut mac = self.0.clone();
        self.update(&mut mac, caller, (vmcp, list), name);
        let full = mac.finalize().into_bytes();
        let mut cut = [0; MAC_BYTES];
        cut.iter_mut().zip(full.iter()).for_each(|(to, from)| *to = *from);
        cut
    }

    fn update(&self, mac: &mut Hmac<Sha256>, caller: &Caller, (vmcp, list): Of<'_>, name: &str) {
        mac.update(caller.class().as_bytes());
        mac.update(&[u8::try_from(vmcp.as_str().len()).unwrap_or(u8::MAX)]);
        mac.update(vmcp.as_str().as_bytes());
        mac.update(list.member().as_bytes());
        mac.update(&[0]);
        mac.update(name.as_bytes());
    }
}
