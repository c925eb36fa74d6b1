//! What clients read first: where the endpoints are and what they take.
//!
//! One document for RFC 8414 and OpenID Connect Discovery, so that clients that look for
//! either find the same. Nothing is listed that is not served.

use serde_json::json;

use super::{client::GrantType, jwks};
use crate::{Issuer, Scope, Settings};

/// The profile of enterprise-managed authorization (ID-JAG).
const ID_JAG: &str = "urn:ietf:params:oauth:grant-profile:id-jag";

/// The document of an issuer.
pub(crate) fn document(issuer: &Issuer, settings: &Settings) -> Vec<u8> {
    let takes_assertions = !settings.assertion_issuers.is_empty();
    let is_served = |grant: &GrantType| *grant != GrantType::JwtBearer || takes_assertions;
    let grants: Vec<&str> =
        GrantType::ALL.iter().filter(|grant| is_served(grant)).map(|grant| grant.name()).collect();
    let algorithms: Vec<String> =
        jwks::ASYMMETRIC.iter().map(|algorithm| format!("{algorithm:?}")).collect();
    let confidential = ["client_secret_basic", "client_secret_post", "private_key_jwt"];
    let all = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"];
    let mut document = json!({
        "issuer": issuer.to_string(),
        "authorization_endpoint": issuer.endpoint("/oauth/authorize"),
        "token_endpoint": issuer.endpoint("/oauth/token"),
        "jwks_uri": issuer.endpoint("/oauth/jwks"),
        "revocation_endpoint": issuer.endpoint("/oauth/revoke"),
        "introspection_endpoint": issuer.endpoint("/oauth/introspect"),
        "device_authorization_endpoint": issuer.endpoint("/oauth/device"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": grants,
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": all,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint_auth_methods_supported": all,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_methods_supported": confidential,
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "authorization_response_iss_parameter_supported": true,
        "client_id_metadata_document_supported": settings.client_documents,
        // What a token is for decides the rest, and a challenge names it (RFC 9728).
        "scopes_supported": [Scope::Mcp.name()],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        // OpenID Connect Discovery has to have these. There are no ID tokens.
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
        "claims_parameter_supported": false,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
    });
    if let Some(members) = document.as_object_mut() {
        if settings.dynamic_registration {
            let endpoint = issuer.endpoint("/oauth/register");
            members.insert("registration_endpoint".into(), endpoint.into());
        }
        if takes_assertions {
            let profiles = json!([ID_JAG]);
            members.insert("authorization_grant_profiles_supported".into(), profiles);
        }
    }
    document.to_string().into_bytes()
}
