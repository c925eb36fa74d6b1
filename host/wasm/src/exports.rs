//! What a component offers: the interfaces of the contract that it exports.

use std::fmt;

/// An interface of the contract that a component can export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interface {
    /// It describes its configuration.
    Configuration,
    /// A tool is about to be called.
    BeforeCall,
    /// A tool has answered.
    AfterCall,
    /// A prompt is about to be fetched.
    BeforePrompt,
    /// A prompt has been fetched.
    AfterPrompt,
    /// A resource is about to be read.
    BeforeRead,
    /// A resource has been read.
    AfterRead,
    /// An argument is about to be completed.
    BeforeCompletion,
    /// A completion has come back.
    AfterCompletion,
    /// A caller is shown what there is.
    Shown,
    /// A connector asks the person or the model.
    OnQuestion,
    /// It edits tools.
    Customize,
    /// It says what kind of server it is.
    Server,
    /// It offers tools.
    Tools,
    /// It offers prompts.
    Prompts,
    /// It offers resources.
    Resources,
}

impl Interface {
    /// Every interface.
    pub const ALL: [Self; 16] = [
        Self::Configuration,
        Self::BeforeCall,
        Self::AfterCall,
        Self::BeforePrompt,
        Self::AfterPrompt,
        Self::BeforeRead,
        Self::AfterRead,
        Self::BeforeCompletion,
        Self::AfterCompletion,
        Self::Shown,
        Self::OnQuestion,
        Self::Customize,
        Self::Server,
        Self::Tools,
        Self::Prompts,
        Self::Resources,
    ];

    /// Its name in the contract.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::BeforeCall => "before-call",
            Self::AfterCall => "after-call",
            Self::BeforePrompt => "before-prompt",
            Self::AfterPrompt => "after-prompt",
            Self::BeforeRead => "before-read",
            Self::AfterRead => "after-read",
            Self::BeforeCompletion => "before-completion",
            Self::AfterCompletion => "after-completion",
            Self::Shown => "shown",
            Self::OnQuestion => "on-question",
            Self::Customize => "customize",
            Self::Server => "server",
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
        }
    }

    /// Whether it is one of an interceptor's events.
    pub const fn is_event(self) -> bool {
        matches!(
            self,
            Self::BeforeCall
                | Self::AfterCall
                | Self::BeforePrompt
                | Self::AfterPrompt
                | Self::BeforeRead
                | Self::AfterRead
                | Self::BeforeCompletion
                | Self::AfterCompletion
                | Self::Shown
                | Self::OnQuestion
        )
    }

    /// Whether it is part of being a connector.
    pub const fn is_offer(self) -> bool {
        matches!(self, Self::Tools | Self::Prompts | Self::Resources)
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The interfaces that a component exports.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Exports(u16);

impl Exports {
    /// Whether `interface` is among them.
    pub const fn has(self, interface: Interface) -> bool {
        self.0 & (1 << interface as u16) != 0
    }

    /// All of them, in the order of [`Interface::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Interface> {
        Interface::ALL.into_iter().filter(move |interface| self.has(*interface))
    }

    /// Whether it looks at anything.
    pub fn is_interceptor(self) -> bool {
        self.iter().any(Interface::is_event)
    }

    /// Whether it is a server.
    pub fn is_connector(self) -> bool {
        self.iter().any(Interface::is_offer)
    }

    /// Whether it edits tools.
    pub const fn is_customizer(self) -> bool {
        self.has(Interface::Customize)
    }
}

impl FromIterator<Interface> for Exports {
    fn from_iter<I: IntoIterator<Item = Interface>>(interfaces: I) -> Self {
        Self(interfaces.into_iter().fold(0, |bits, one| bits | (1 << one as u16)))
    }
}

impl fmt::Debug for Exports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Interface::name)).finish()
    }
}

/// What an interceptor can look at, on the way in and on the way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// `tools/call`.
    Call,
    /// `prompts/get`.
    Prompt,
    /// `resources/read`.
    Read,
    /// `completion/complete`.
    Completion,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 4] = [Self::Call, Self::Prompt, Self::Read, Self::Completion];

    /// Its hook on the way in.
    pub const fn before(self) -> Interface {
        match self {
            Self::Call => Interface::BeforeCall,
            Self::Prompt => Interface::BeforePrompt,
            Self::Read => Interface::BeforeRead,
            Self::Completion => Interface::BeforeCompletion,
        }
    }

    /// Its hook on the way back.
    pub const fn after(self) -> Interface {
        match self {
            Self::Call => Interface::AfterCall,
            Self::Prompt => Interface::AfterPrompt,
            Self::Read => Interface::AfterRead,
            Self::Completion => Interface::AfterCompletion,
        }
    }
}

/// Which list a caller is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListKind {
    /// `tools/list`.
    Tools,
    /// `prompts/list`.
    Prompts,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`.
    Templates,
}
