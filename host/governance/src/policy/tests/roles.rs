//! What the gateway's own roles may administrate.

use std::collections::BTreeSet;

use super::fixture::{Org, agent, caller, scoped_caller};
use crate::policy::{AdminAction, DenialKind, RequestContext};

/// Which of admin, policy author, plugin developer and auditor may do it, in this order; the
/// owner may do all and the member nothing.
const TABLE: &[(AdminAction, &str)] = &[
    (AdminAction::ConfigApply, "a---"),
    (AdminAction::ConfigRead, "aPDA"),
    (AdminAction::Status, "a-DA"),
    (AdminAction::AuditRead, "a--A"),
    (AdminAction::PayloadRead, "---A"),
    (AdminAction::PluginLogs, "a-D-"),
    (AdminAction::KeyCreate, "a---"),
    (AdminAction::KeyRead, "a---"),
    (AdminAction::KeyRevoke, "a---"),
    (AdminAction::UserRead, "a---"),
    (AdminAction::UserWrite, "a---"),
    (AdminAction::RoleAssign, "a---"),
    (AdminAction::GroupRead, "a---"),
    (AdminAction::GroupWrite, "a---"),
    (AdminAction::ClientRead, "a---"),
    (AdminAction::ClientWrite, "a---"),
    (AdminAction::GrantRead, "a---"),
    (AdminAction::GrantRevoke, "a---"),
    (AdminAction::SessionRead, "a---"),
    (AdminAction::SessionEnd, "a---"),
    (AdminAction::SigningKeyRotate, "----"),
    (AdminAction::EncryptionRead, "----"),
    (AdminAction::EncryptionRotate, "----"),
    (AdminAction::PolicyExplain, "aP--"),
    (AdminAction::ConnectorRefresh, "a---"),
    (AdminAction::ToolsApprove, "a---"),
    (AdminAction::Shutdown, "a---"),
];

const ROLES: [(&str, char); 4] =
    [("admin", 'a'), ("policy-author", 'P'), ("plugin-developer", 'D'), ("auditor", 'A')];

#[test]
fn every_role_may_do_what_the_table_says() {
    let policies = Org::usual().policies();
    let context = RequestContext::default();
    let known: BTreeSet<AdminAction> = TABLE.iter().map(|(action, _)| *action).collect();
    assert_eq!(known, AdminAction::ALL.iter().copied().collect(), "an action is not in the table");
    for (action, who) in TABLE {
        let may = |role: &str| {
            let decision =
                policies.authorize_admin(&caller("ann", &[], &[role]), *action, &context);
            decision.map(|permit| permit.grounds().policies.to_vec())
        };
        assert_eq!(may("owner").unwrap(), ["builtin:owner"], "{action}");
        for role in ["member", "Owner", "nobody"] {
            assert_eq!(may(role).unwrap_err().kind, DenialKind::Denied, "{action}: {role}");
        }
        for (role, letter) in ROLES {
            assert_eq!(may(role).is_ok(), who.contains(letter), "{action}: {role}");
        }
    }
}

#[test]
fn a_forbid_of_the_organisation_wins_and_agents_have_roles_too() {
    let context = RequestContext::default();
    let bot = agent("bot", &[], &["admin"]);
    let policies = Org::usual().policies();
    policies.authorize_admin(&bot, AdminAction::Status, &context).unwrap();
    let org =
        Org::usual().with("forbid(principal is Agent, action in Action::\"admin\", resource);");
    let policies = org.policies();
    let refused = policies.authorize_admin(&bot, AdminAction::Status, &context).unwrap_err();
    assert_eq!(refused.policies, ["policies/a.cedar:1"]);
    let person = caller("bot", &[], &["admin"]);
    policies.authorize_admin(&person, AdminAction::Status, &context).unwrap();
}

#[test]
fn a_key_for_virtual_mcps_administrates_nothing() {
    let owner = scoped_caller("ann", &[], &["owner"], &["sales"]);
    let policies = Org::usual().policies();
    for action in AdminAction::ALL {
        let context = RequestContext::default();
        assert!(policies.authorize_admin(&owner, *action, &context).is_err(), "{action}");
    }
}

#[test]
fn they_stand_apart_and_their_ids_are_theirs() {
    let org = Org::usual().with("permit(principal, action == Action::\"connect\", resource);");
    let policies = org.policies();
    assert_eq!(policies.list().len(), 1);
    assert_eq!(policies.built_in().len(), 5);
    for info in policies.built_in() {
        assert!(info.id.starts_with("builtin:") && info.flags.is_empty(), "{info:?}");
    }
    let org = Org::usual().with("@id(\"builtin:owner\") permit(principal, action, resource);");
    let problems = org.compile().unwrap_err();
    assert!(problems.iter().any(|problem| problem.message.contains("builtin:")), "{problems:?}");
    assert!(problems.iter().all(|problem| problem.file == "policies/a.cedar"), "{problems:?}");
}
