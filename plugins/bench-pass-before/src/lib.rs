//! The smallest interceptor: one hook on the way in, which lets every call pass. Measures
//! what a hook costs by itself.

use tidegate_plugin::{Context, Decision, Interceptor, Outcome, Round};

struct Pass;

impl Interceptor for Pass {
    fn configure(_config: &str) -> Result<Self, String> {
        Ok(Self)
    }

    fn before_call(&self, _context: &Context, _arguments: &str, _round: &Round) -> Outcome {
        Decision::Proceed.into()
    }
}

tidegate_plugin::export!(interceptor Pass: before_call);
