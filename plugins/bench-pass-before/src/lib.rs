//! The smallest interceptor: one hook on the way in, which lets every call pass. Measures
//! what a hook costs by itself.

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

tidegate_plugin::export!(interceptor Pass: before);
