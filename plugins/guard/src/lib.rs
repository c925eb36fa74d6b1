//! Limits on the arguments of tool calls, and on how often the calls are made.
//!
//! Rules apply to tools by name; an argument has to pass every check of every rule that names
//! it. What cannot be judged is refused, and a refusal says what is allowed. Reads values and
//! changes nothing.

mod check;
mod rate;
mod select;
mod settings;

use serde_json::Value;
use tidegate_plugin::{Context, Decision, Interceptor, Outcome, Round};

use settings::{Rule, Settings};

struct Guard {
    settings: Settings,
}

impl Interceptor for Guard {
    const SCHEMA: &'static str = include_str!("../schema.json");

    fn configure(config: &str) -> Result<Self, String> {
        tidegate_plugin::read(config).map(|settings| Self { settings })
    }

    fn before_call(&self, context: &Context, arguments: &str, _round: &Round) -> Outcome {
        let rules = self.settings.rules.iter().enumerate();
        let rules: Vec<(usize, &Rule)> =
            rules.filter(|(_, rule)| rule.applies_to(&context.target)).collect();
        match judge(&rules, context, arguments) {
            Ok(()) => Decision::Proceed,
            Err(text) => Decision::Refuse(text),
        }
        .into()
    }
}

fn judge(rules: &[(usize, &Rule)], context: &Context, arguments: &str) -> Result<(), String> {
    if rules.iter().any(|(_, rule)| rule.looks_at_arguments()) {
        let arguments: Value = serde_json::from_str(arguments)
            .map_err(|error| format!("The arguments cannot be judged: {error}"))?;
        for (_, rule) in rules {
            rule.judge(&context.target, &arguments)?;
        }
    }
    // Only what is otherwise fine counts.
    for (number, rule) in rules {
        if let Some(rate) = &rule.rate {
            rate.count(*number, context).map_err(|text| rule.refusal(&context.target, &text))?;
        }
    }
    Ok(())
}

tidegate_plugin::export!(interceptor Guard: before_call);

#[cfg(test)]
mod tests;
