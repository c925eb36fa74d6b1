//! Keeps certain words to oneself: what goes out with one is refused, what comes in is
//! cleaned. An example to start from; one `impl` per event.

wit_bindgen::generate!({ path: "wit", world: "plugin", generate_all });

use exports::tidegate::plugin::*;
use serde::Deserialize;
use serde_json::Value;
use tidegate::plugin::log;
use tidegate::plugin::types::*;

/// The configuration; the gateway has checked it against the schema before any hook runs.
#[derive(Deserialize)]
struct Config {
    /// What to look for, as it is written.
    words: Vec<String>,
}

impl Config {
    fn read(json: &str) -> Self {
        serde_json::from_str(json).expect("the schema says the same as this type")
    }

    /// The text with every word taken out, or nothing where there is none.
    fn clean(&self, text: &str) -> Option<String> {
        let found = self.words.iter().any(|word| text.contains(word));
        let without = |text: String, word| text.replace(word, "[removed]");
        found.then(|| self.words.iter().map(String::as_str).fold(text.to_owned(), without))
    }

    /// The same for every string of a JSON text.
    fn clean_json(&self, json: &str) -> Option<String> {
        let mut value = serde_json::from_str(json).expect("the host hands over JSON");
        self.clean_value(&mut value).then(|| value.to_string())
    }

    fn clean_value(&self, value: &mut Value) -> bool {
        let mut changed = false;
        match value {
            Value::String(text) => {
                if let Some(clean) = self.clean(text) {
                    *text = clean;
                    changed = true;
                }
            }
            Value::Array(items) => {
                for item in items {
                    changed |= self.clean_value(item);
                }
            }
            Value::Object(members) => {
                for member in members.values_mut() {
                    changed |= self.clean_value(member);
                }
            }
            _ => {}
        }
        changed
    }
}

/// Says what happened, never what was in it: logs are read by people who may not see that.
fn note(what: &str) {
    log::write(log::Level::Info, what);
}

// only: before-call before-prompt before-read before-completion
fn outcome(decision: Decision) -> Outcome {
    Outcome { decision, state: None }
}

// end
// only: before-call before-prompt
/// Refuses arguments that hold one of the words.
fn before(config: &str, arguments: &str) -> Outcome {
    if Config::read(config).clean_json(arguments).is_none() {
        return outcome(Decision::Proceed);
    }
    note("refused: a word in the arguments");
    outcome(Decision::Refuse("A word in the arguments must stay here. Leave it out.".into()))
}

// end
// only: after-call after-prompt after-read after-completion
/// Takes the words out of a result; an error is passed on as it is.
fn after(config: &str, answer: &Answer) -> Review {
    let Answer::Result(result) = answer else { return Review::Proceed };
    let Some(clean) = Config::read(config).clean_json(result) else { return Review::Proceed };
    note("cleaned: a word in the answer");
    Review::Replace(clean)
}

// end
struct Plugin;
export!(Plugin);

impl configuration::Guest for Plugin {
    fn schema() -> String {
        include_str!("../schema.json").into()
    }
}

// only: before-call
impl before_call::Guest for Plugin {
    fn before(_context: Context, config: String, arguments: String, _round: Round) -> Outcome {
        before(&config, &arguments)
    }
}

// end
// only: after-call
impl after_call::Guest for Plugin {
    fn after(_: Context, config: String, answer: Answer, _state: Option<Vec<u8>>) -> Review {
        after(&config, &answer)
    }
}

// end
// only: before-prompt
impl before_prompt::Guest for Plugin {
    fn before(_context: Context, config: String, arguments: String, _round: Round) -> Outcome {
        before(&config, &arguments)
    }
}

// end
// only: after-prompt
impl after_prompt::Guest for Plugin {
    fn after(_: Context, config: String, answer: Answer, _state: Option<Vec<u8>>) -> Review {
        after(&config, &answer)
    }
}

// end
// only: before-read
impl before_read::Guest for Plugin {
    fn before(context: Context, config: String, _round: Round) -> Outcome {
        if Config::read(&config).clean(&context.target).is_none() {
            return outcome(Decision::Proceed);
        }
        note("refused: a word in the URI");
        outcome(Decision::Refuse("This resource must stay here.".into()))
    }
}

// end
// only: after-read
impl after_read::Guest for Plugin {
    fn after(_: Context, config: String, answer: Answer, _state: Option<Vec<u8>>) -> Review {
        after(&config, &answer)
    }
}

// end
// only: before-completion
impl before_completion::Guest for Plugin {
    fn before(_context: Context, config: String, argument: String) -> Outcome {
        if Config::read(&config).clean_json(&argument).is_none() {
            return outcome(Decision::Proceed);
        }
        note("answered: a word in what is completed");
        outcome(Decision::Answer(r#"{"completion":{"values":[]}}"#.into()))
    }
}

// end
// only: after-completion
impl after_completion::Guest for Plugin {
    fn after(_: Context, config: String, answer: Answer, _state: Option<Vec<u8>>) -> Review {
        after(&config, &answer)
    }
}

// end
// only: shown
impl shown::Guest for Plugin {
    fn shown(
        _context: Context,
        config: String,
        _kind: shown::Kind,
        items: Vec<String>,
    ) -> Vec<shown::Verdict> {
        let config = Config::read(&config);
        let verdict = |item: &String| match config.clean_json(item) {
            Some(_) => shown::Verdict::Hide,
            None => shown::Verdict::Show,
        };
        items.iter().map(verdict).collect()
    }
}

// end
// only: on-question
impl on_question::Guest for Plugin {
    fn question(_context: Context, config: String, params: String) -> on_question::Decision {
        if Config::read(&config).clean_json(&params).is_none() {
            return on_question::Decision::Proceed;
        }
        note("refused: a word in a question");
        on_question::Decision::Refuse("A question held a word that must stay here.".into())
    }
}

// end
