//! Every admin route.
//!
//! The one table from which both doors, the API's description and the tests are made.

use tidegate_governance::policy::AdminAction as Admin;

use super::{
    access,
    asked::Paging,
    audit, clients, config, encryption, grants, groups, keys, lines, machines, me, payload, roles,
    route::{
        Body,
        Need::{Action, Own},
        Query, Route, route,
    },
    sessions, signing, status, users,
};

/// The table.
pub(super) fn routes() -> Vec<Route> {
    let mut all = operating();
    all.extend(people());
    all.extend(access());
    all.extend(own());
    all
}

/// What the gateway is doing, and its configuration.
fn operating() -> Vec<Route> {
    vec![
        route!(GET "/api/v1/status", Action(Admin::Status),
            status::show(()) -> status::Status,
            "What the gateway is doing"),
        route!(GET "/api/v1/config", Action(Admin::ConfigRead),
            config::show(()) -> config::Configuration,
            "The configuration resources in effect; they hold no secret"),
        route!(POST "/api/v1/config/apply", Action(Admin::ConfigApply),
            config::apply(Body<config::Apply>) -> config::Applied,
            "Replace configuration resources, or say what would change"),
        route!(POST "/api/v1/audit/find", Action(Admin::AuditRead),
            audit::find(Body<audit::Wanted>) -> audit::FoundRows,
            "The newest audit rows that fit, oldest first"),
        route!(POST "/api/v1/audit/payloads", Action(Admin::PayloadRead),
            payload::read(Body<payload::Wanted>) -> payload::Payloads,
            "What calls carried, where it was kept"),
        route!(POST "/api/v1/plugins/lines", Action(Admin::PluginLogs),
            lines::read(Body<lines::Wanted>) -> lines::AllLines,
            "What the versions of a plugin that run now wrote into their logs"),
        route!(POST "/api/v1/connectors/lines", Action(Admin::PluginLogs),
            machines::read(Body<machines::Wanted>) -> machines::MachineLogs,
            "What the machines of a hosted connector said"),
        route!(GET "/api/v1/encryption", Action(Admin::EncryptionRead),
            encryption::show(()) -> encryption::EncryptionStatus,
            "The keys that seal what is kept, by name, and how far resealing has come"),
        route!(POST "/api/v1/encryption/rotate", Action(Admin::EncryptionRotate),
            encryption::rotate(Body<encryption::WantedRotation>) -> encryption::Rotated,
            "Replace keys that seal what is kept; everything is resealed in the background"),
        route!(POST "/api/v1/encryption/retire", Action(Admin::EncryptionRotate),
            encryption::retire(Body<encryption::WantedRetirement>) -> encryption::Retired,
            "Give up a root key that no other key is wrapped under"),
    ]
}

/// Users, groups and roles.
fn people() -> Vec<Route> {
    vec![
        route!(GET "/api/v1/users", Action(Admin::UserRead),
            users::list(Query<Paging>) -> users::UserPage,
            "People and agents, a page at a time"),
        route!(POST "/api/v1/users", Action(Admin::UserWrite),
            users::add(Body<users::NewUser>) -> users::UserInfo,
            "Add an agent, or invite a person, who becomes this user with their first sign-in"),
        route!(GET "/api/v1/users/{user}", Action(Admin::UserRead),
            users::show(()) -> users::UserInfo,
            "One user"),
        route!(PATCH "/api/v1/users/{user}", Action(Admin::UserWrite),
            users::change(Body<users::UserChange>) -> users::UserInfo,
            "Change name or address of a user"),
        route!(DELETE "/api/v1/users/{user}", Action(Admin::UserWrite),
            access::remove(()) -> access::Ended,
            "Remove a user with their sessions, grants and keys"),
        route!(PUT "/api/v1/users/{user}/groups", Action(Admin::GroupWrite),
            users::groups(Body<users::AssignedGroups>) -> users::UserInfo,
            "Say which groups an administrator puts a user in"),
        route!(PUT "/api/v1/users/{user}/roles", Action(Admin::RoleAssign),
            users::roles(Body<users::AssignedRoles>) -> users::UserInfo,
            "Say which roles an administrator gives a user"),
        route!(POST "/api/v1/users/{user}/activate", Action(Admin::UserWrite),
            access::activate(()) -> users::UserInfo,
            "Let a user in again"),
        route!(POST "/api/v1/users/{user}/deactivate", Action(Admin::UserWrite),
            access::deactivate(()) -> access::Ended,
            "Take away all access of a user, at once"),
        route!(POST "/api/v1/users/{user}/sign-out", Action(Admin::SessionEnd),
            access::sign_out(()) -> access::Ended,
            "End all sessions, grants and tokens of a user, who may sign in again"),
        route!(DELETE "/api/v1/users/{user}/links/{provider}", Action(Admin::UserWrite),
            access::unlink(()) -> users::UserInfo,
            "Forget who a user is at a provider, so that the address counts again"),
        route!(POST "/api/v1/users/{user}/password-link", Action(Admin::UserWrite),
            access::password_link(()) -> access::PasswordLink,
            "Make a link by which a user chooses a password; it is in this answer and nowhere else"),
        route!(GET "/api/v1/groups", Action(Admin::GroupRead),
            groups::list(Query<Paging>) -> groups::GroupPage,
            "Groups whose members are listed, a page at a time"),
        route!(POST "/api/v1/groups", Action(Admin::GroupWrite),
            groups::add(Body<groups::NewGroup>) -> groups::GroupInfo,
            "Add a group"),
        route!(GET "/api/v1/groups/{group}", Action(Admin::GroupRead),
            groups::show(()) -> groups::GroupInfo,
            "One group with its members"),
        route!(PATCH "/api/v1/groups/{group}", Action(Admin::GroupWrite),
            groups::change(Body<groups::GroupChange>) -> groups::GroupInfo,
            "Rename a group, put users in and take users out"),
        route!(DELETE "/api/v1/groups/{group}", Action(Admin::GroupWrite),
            groups::remove(()) -> groups::Removed,
            "Remove a group; its members stay"),
        route!(GET "/api/v1/roles", Action(Admin::UserRead),
            roles::list(()) -> roles::RoleList,
            "What each role may do, and who has it"),
    ]
}

/// Clients, grants, sessions and keys.
fn access() -> Vec<Route> {
    vec![
        route!(GET "/api/v1/clients", Action(Admin::ClientRead),
            clients::list(Query<Paging>) -> clients::ClientPage,
            "The clients that people connect with, a page at a time"),
        route!(GET "/api/v1/clients/{client}", Action(Admin::ClientRead),
            clients::show(()) -> clients::ClientInfo,
            "One client"),
        route!(DELETE "/api/v1/clients/{client}", Action(Admin::ClientWrite),
            clients::remove(()) -> clients::ClientRemoved,
            "Remove a client that registered itself, with all that was granted to it"),
        route!(GET "/api/v1/grants", Action(Admin::GrantRead),
            grants::list(Query<grants::Wanted>) -> grants::GrantPage,
            "What people let clients do, a page at a time"),
        route!(DELETE "/api/v1/grants/{grant}", Action(Admin::GrantRevoke),
            grants::revoke(()) -> grants::GrantInfo,
            "End a grant with its tokens, at once"),
        route!(DELETE "/api/v1/users/{user}/grants", Action(Admin::GrantRevoke),
            grants::revoke_of_user(()) -> grants::Revoked,
            "End all grants of a user, and forget what they agreed to"),
        route!(DELETE "/api/v1/clients/{client}/grants", Action(Admin::GrantRevoke),
            grants::revoke_of_client(()) -> grants::Revoked,
            "End all that was granted to a client, whatever kind it is"),
        route!(GET "/api/v1/sessions", Action(Admin::SessionRead),
            sessions::list(Query<sessions::Wanted>) -> sessions::SessionPage,
            "The browsers in which a user is signed in"),
        route!(DELETE "/api/v1/sessions/{session}", Action(Admin::SessionEnd),
            sessions::end(()) -> sessions::SessionEnded,
            "Sign a browser out, with what was granted in it"),
        route!(GET "/api/v1/keys", Action(Admin::KeyRead),
            keys::list(()) -> keys::KeyList,
            "All API keys, those in files and those that were made here"),
        route!(POST "/api/v1/keys", Action(Admin::KeyCreate),
            keys::create(Body<keys::WantedKey>) -> keys::MadeKey,
            "Make an API key; its secret is in this answer and nowhere else"),
        route!(DELETE "/api/v1/keys/{key}", Action(Admin::KeyRevoke),
            keys::revoke(()) -> keys::KeyInfo,
            "Take an API key that was made here out of use, at once"),
        route!(POST "/api/v1/signing-keys/rotate", Action(Admin::SigningKeyRotate),
            signing::rotate(Body<signing::WantedSigningKey>) -> signing::SigningKeyReplaced,
            "Sign access tokens with a new key, and forget those of before where that is wanted"),
    ]
}

/// What everybody may see and end of their own.
fn own() -> Vec<Route> {
    vec![
        route!(GET "/api/v1/me", Own("own:show"),
            me::show(()) -> me::Me,
            "Who the caller is, and what they may do"),
        route!(GET "/api/v1/me/grants", Own("own:grant_read"),
            grants::own(()) -> grants::GrantPage,
            "What the caller let clients do"),
        route!(DELETE "/api/v1/me/grants/{grant}", Own("own:grant_revoke"),
            grants::revoke_own(()) -> grants::GrantInfo,
            "End a grant of the caller's own"),
        route!(GET "/api/v1/me/sessions", Own("own:session_read"),
            sessions::own(()) -> sessions::SessionPage,
            "The browsers in which the caller is signed in"),
        route!(DELETE "/api/v1/me/sessions/{session}", Own("own:session_end"),
            sessions::end_own(()) -> sessions::SessionEnded,
            "Sign a browser of the caller's own out"),
    ]
}
