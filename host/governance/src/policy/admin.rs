//! The administrative actions, named once.
//!
//! The admin API's route table declares one of these per route; the base schema knows each
//! by its policy name. Whether a caller may perform one is `Policies::authorize_admin`.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! admin_actions {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// Something an administrator does to the gateway.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum AdminAction {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl AdminAction {
            /// Every action, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The action's id in policies and audit rows, as in `Action::"admin:status"`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

admin_actions! {
    /// Replace the configuration resources.
    ConfigApply = "admin:config_apply";
    /// Read the configuration resources.
    ConfigRead = "admin:config_read";
    /// Read what the gateway is doing.
    Status = "admin:status";
    /// Read audit rows.
    AuditRead = "admin:audit_read";
    /// Read what calls carried, where it was kept: arguments and results.
    PayloadRead = "admin:payload_read";
    /// Read what plugins wrote into their logs.
    PluginLogs = "admin:plugin_logs";
    /// Make an API key.
    KeyCreate = "admin:key_create";
    /// List API keys; never their secrets.
    KeyRead = "admin:key_read";
    /// Take an API key out of use.
    KeyRevoke = "admin:key_revoke";
    /// Read who there is, and which roles they have.
    UserRead = "admin:user_read";
    /// Add, change, deactivate and remove people and agents.
    UserWrite = "admin:user_write";
    /// Give and take roles. Whoever is no owner gives only those that they have.
    RoleAssign = "admin:role_assign";
    /// Read groups and who is in them.
    GroupRead = "admin:group_read";
    /// Add, change and remove groups, and put people into them.
    GroupWrite = "admin:group_write";
    /// Read the clients that people connect with.
    ClientRead = "admin:client_read";
    /// Remove clients that registered themselves.
    ClientWrite = "admin:client_write";
    /// Read what people granted to which clients.
    GrantRead = "admin:grant_read";
    /// End what people granted.
    GrantRevoke = "admin:grant_revoke";
    /// Read in which browsers people are signed in.
    SessionRead = "admin:session_read";
    /// Sign people out.
    SessionEnd = "admin:session_end";
    /// Replace the key that signs access tokens, and end what others signed.
    SigningKeyRotate = "admin:signing_key_rotate";
    /// See which keys seal what is kept, and how much they were used; never the keys.
    EncryptionRead = "admin:encryption_read";
    /// Replace the keys that seal what is kept, and end what they protected.
    EncryptionRotate = "admin:encryption_rotate";
    /// Ask who could call what, and why.
    PolicyExplain = "admin:policy_explain";
    /// Fetch a connector's tools again.
    ConnectorRefresh = "admin:connector_refresh";
    /// Accept held changes of a connector's tools.
    ToolsApprove = "admin:tools_approve";
    /// Stop the gateway.
    Shutdown = "admin:shutdown";
}

impl fmt::Display for AdminAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
