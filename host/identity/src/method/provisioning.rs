//! The organisation's own directory, by the bearer token of its settings.

use model::{OrgId, UserId};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tidegate_model as model;

use crate::{Caller, Settings, SignIn};

/// The caller behind a presented token: `scim`, which is nobody of the organisation. `None` for
/// any other token, and where there is none in the settings.
pub fn authenticate(settings: &Settings, org: OrgId, token: &str) -> Option<Caller> {
    let expected = settings.scim_token.as_ref()?;
    let presented: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    let same: bool = expected.ct_eq(&presented).into();
    let user = UserId::new("scim").ok().filter(|_| same)?;
    Some(Caller::new(org, user, SignIn::Provisioning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_is_good_and_no_other() {
        let org = OrgId::default_org();
        let mut settings = Settings::default();
        assert!(authenticate(&settings, org.clone(), "").is_none());
        settings.scim_token = Some(Sha256::digest(b"right").into());
        let caller = authenticate(&settings, org.clone(), "right").unwrap();
        assert_eq!((caller.user().as_str(), caller.sign_in().name()), ("scim", "scim"));
        for wrong in ["", "righ", "right ", "Right", "wrong"] {
            assert!(authenticate(&settings, org.clone(), wrong).is_none(), "{wrong}");
        }
    }
}
