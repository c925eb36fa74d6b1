//! Imports an interface that no gateway offers. For the host's tests only.

use tidegate_plugin::{Context, Decision, Interceptor, Outcome, Round};

mod bindings {
    #![allow(missing_docs, unreachable_pub, reason = "generated code")]
    wit_bindgen::generate!({
        inline: "
            package evil:host;
            interface files { read: func(path: string) -> string; }
            world greedy { import files; }
        ",
        world: "evil:host/greedy",
    });
}

struct Greedy;

impl Interceptor for Greedy {
    fn configure(_config: &str) -> Result<Self, String> {
        Ok(Self)
    }

    fn before_call(&self, _context: &Context, _arguments: &str, _round: &Round) -> Outcome {
        Decision::Refuse(bindings::evil::host::files::read("/etc/passwd")).into()
    }
}

tidegate_plugin::export!(interceptor Greedy: before_call);
