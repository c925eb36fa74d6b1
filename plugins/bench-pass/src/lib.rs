//! An interceptor with both hooks, which let everything pass. Measures what two hooks cost
//! by themselves.

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

tidegate_plugin::export!(interceptor Pass: before_call, after_call);
