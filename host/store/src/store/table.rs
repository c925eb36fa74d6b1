//! The closed list of tables. Numbers and names are part of the format.

/// A table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Facts about the installation itself.
    Meta = 1,
    /// Configuration: connector, vmcp, plugin, policy, key, role mapping.
    Resource = 2,
    /// Past configuration.
    Revision = 3,
    /// Approved tool definitions of each connector.
    ToolRecord = 4,
    /// Published names and the tools they stay with.
    PinnedName = 5,
    /// Sessions.
    Session = 6,
    /// Tokens and authorization codes, by hash.
    Token = 7,
    /// Credentials for connectors.
    Credential = 8,
    /// The index over the audit log; can be rebuilt from it.
    AuditIndex = 9,
    /// References to blobs.
    Blob = 10,
    /// State of plugins.
    PluginState = 11,
    /// Progress of background jobs.
    Job = 12,
    /// People, agents and groups.
    User = 13,
    /// OAuth clients and API keys.
    Client = 14,
    /// What people granted to clients, and what was revoked.
    Grant = 15,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 15] = [
        Self::Meta,
        Self::Resource,
        Self::Revision,
        Self::ToolRecord,
        Self::PinnedName,
        Self::Session,
        Self::Token,
        Self::Credential,
        Self::AuditIndex,
        Self::Blob,
        Self::PluginState,
        Self::Job,
        Self::User,
        Self::Client,
        Self::Grant,
    ];

    /// Its name in messages and in what sealed values are bound to.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Resource => "resource",
            Self::Revision => "revision",
            Self::ToolRecord => "tool-record",
            Self::PinnedName => "pinned-name",
            Self::Session => "session",
            Self::Token => "token",
            Self::Credential => "credential",
            Self::AuditIndex => "audit-index",
            Self::Blob => "blob",
            Self::PluginState => "plugin-state",
            Self::Job => "job",
            Self::User => "user",
            Self::Client => "client",
            Self::Grant => "grant",
        }
    }

    /// Whether it can be made anew from the log. Such a table is not read through at start,
    /// has no change feed and is left out of backups.
    pub const fn is_derived(self) -> bool {
        matches!(self, Self::AuditIndex)
    }

    pub(crate) fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| *table as u8 == byte)
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
