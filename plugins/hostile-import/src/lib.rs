//! Imports an interface that no gateway offers. For the host's tests only.

use tidegate_plugin::{Before, Context, Interceptor, Outcome};

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

    fn before(&self, _context: &Context, _arguments: &str) -> Outcome {
        Before::Refuse(bindings::evil::host::files::read("/etc/passwd")).into()
    }
}

tidegate_plugin::export!(interceptor Greedy: before);
