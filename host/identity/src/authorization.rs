//! The OAuth 2.1 authorization server of one organisation.
//!
//! Owns clients, grants, codes and tokens, and every refusal that the RFCs ask for. Issues in
//! two steps, pending and issued, so that whoever serves can ask policy in between. Serves no
//! HTTP and decides no policy.
