//! An interceptor with both hooks, which let everything pass. Measures what two hooks cost
//! by themselves.

use tidegate_plugin::{Before, Context, Interceptor, Outcome};

struct Pass;

impl Interceptor for Pass {
    fn configure(_config: &str) -> Result<Self, String> {
        Ok(Self)
    }

    fn before(&self, _context: &Context, _arguments: &str) -> Outcome {
        Before::Proceed.into()
    }
}

tidegate_plugin::export!(interceptor Pass: before, after);
