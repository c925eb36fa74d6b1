//! What a resource server says to whoever lacks a token, or rights of one.
//!
//! RFC 6750 section 3 with RFC 9728 section 5.1. All text in it is the gateway's own.

use tidegate_identity::{Issuer, Resource, Scope, Scopes};

/// The challenges for one thing that tokens are for.
#[derive(Debug)]
pub(crate) struct Challenge {
    metadata: String,
    scope: Scope,
}

impl Challenge {
    /// For a resource of the organisation that `issuer` speaks for.
    pub(crate) fn new(issuer: &Issuer, resource: &Resource) -> Self {
        let scope = match resource {
            Resource::Vmcp(_) => Scope::Mcp,
            Resource::Admin => Scope::Admin,
        };
        Self { metadata: metadata_url(issuer, resource), scope }
    }

    /// Nothing was presented.
    pub(crate) fn missing(&self) -> String {
        format!("Bearer resource_metadata=\"{}\", scope=\"{}\"", self.metadata, self.scope.name())
    }

    /// What was presented is not good (any more).
    pub(crate) fn invalid(&self) -> String {
        let words = "the access token is not valid here or has expired";
        format!("{}, error=\"invalid_token\", error_description=\"{words}\"", self.missing())
    }

    /// What was presented lacks rights; `scopes` are all that are needed, also those it has.
    pub(crate) fn step_up(&self, scopes: Scopes) -> String {
        let words = "the operation needs more scopes than the access token has";
        format!(
            "Bearer error=\"insufficient_scope\", scope=\"{scopes}\", resource_metadata=\"{}\", \
             error_description=\"{words}\"",
            self.metadata
        )
    }
}

/// Where the metadata of a resource is: its path, inserted (RFC 9728 section 3.1).
pub(crate) fn metadata_url(issuer: &Issuer, resource: &Resource) -> String {
    let audience = issuer.audience(resource);
    let path = audience.strip_prefix(issuer.origin()).unwrap_or_default();
    format!("{}/.well-known/oauth-protected-resource{path}", issuer.origin())
}

#[cfg(test)]
mod tests {
    use tidegate_model::{OrgId, VmcpId};

    use super::*;

    #[test]
    fn a_challenge_names_metadata_and_scopes() {
        let of = |org: &str| Issuer::new("https://mcp.example.com", OrgId::new(org).unwrap());
        let sales = Resource::Vmcp(VmcpId::new("sales").unwrap());
        let challenge = Challenge::new(&of("default").unwrap(), &sales);
        let metadata = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp/sales";
        assert_eq!(
            challenge.missing(),
            format!("Bearer resource_metadata=\"{metadata}\", scope=\"mcp\"")
        );
        assert!(challenge.invalid().contains("error=\"invalid_token\""));
        let asked = challenge.step_up(Scopes::parse("mcp mcp:write offline_access"));
        assert!(asked.contains("scope=\"mcp mcp:write offline_access\""), "{asked}");
        assert!(asked.contains(metadata), "{asked}");
        let admin = Challenge::new(&of("acme").unwrap(), &Resource::Admin).missing();
        let path = "/.well-known/oauth-protected-resource/o/acme/api/v1\", scope=\"admin\"";
        assert!(admin.contains(path), "{admin}");
    }
}
