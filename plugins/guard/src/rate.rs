//! How often calls may be made, counted in the binding's own state.

use serde::Deserialize;
use tidegate_plugin::{
    Context,
    host::{self, StateError},
};

/// At most `calls` in `seconds`, counted from the first call of each window.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rate {
    calls: i64,
    seconds: u32,
    #[serde(default)]
    per: Per,
}

/// Who shares a count.
#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Per {
    /// Each person has their own for each tool.
    #[default]
    UserAndTool,
    /// Each person has one for all tools of the rule.
    User,
    /// Each tool has one for everybody.
    Tool,
    /// One for all.
    All,
}

/// Keys have at most 256 bytes.
const LONGEST_KEY: usize = 200;

impl Rate {
    /// Counts this call of rule `number`; the error says what is allowed. What cannot be
    /// counted is refused.
    pub(crate) fn count(&self, number: usize, context: &Context) -> Result<(), String> {
        let key = self.key(number, context);
        let calls = host::state_add(&key, 1, Some(self.seconds)).map_err(|error| match error {
            StateError::Quota | StateError::TooLarge => {
                "calls cannot be counted, this plugin's space is used up".to_owned()
            }
            // What the store says is not for callers.
            StateError::Unavailable(_) => "calls cannot be counted now, try again later".to_owned(),
        })?;
        if calls <= self.calls {
            return Ok(());
        }
        let whose = match self.per {
            Per::UserAndTool | Per::User => "you may make",
            Per::Tool | Per::All => "everybody together may make",
        };
        let (most, seconds) = (self.calls, self.seconds);
        Err(format!("{whose} at most {most} calls in {seconds} seconds, try again later"))
    }

    fn key(&self, number: usize, context: &Context) -> String {
        let user = matches!(self.per, Per::UserAndTool | Per::User);
        let tool = matches!(self.per, Per::UserAndTool | Per::Tool);
        let pick = |wanted, text| if wanted { text } else { "" };
        // Of every part the length, so that no two sets of parts look alike.
        let parts = [
            context.vmcp.as_str(),
            pick(tool, context.connector.as_str()),
            pick(tool, context.target.as_str()),
            pick(user, context.user.as_str()),
        ];
        let full: String = parts.iter().map(|part| format!("{}:{part}", part.len())).collect();
        let key = format!("rate/{number}/{full}");
        if key.len() <= LONGEST_KEY {
            return key;
        }
        let cut = (0..=LONGEST_KEY).rev().find(|at| key.is_char_boundary(*at)).unwrap_or(0);
        format!("{}/{:016x}", key.get(..cut).unwrap_or_default(), fnv(full.as_bytes()))
    }
}

/// FNV-1a: tells long keys apart. Whoever made two collide would only share a count.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
