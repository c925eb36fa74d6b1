//! An interceptor built against `wit/v0.2.0-draft`: refuses tools that may destroy. For the
//! host's tests, where it runs beside components of the frozen contract.

mod bindings {
    #![allow(missing_docs, unreachable_pub, reason = "generated code")]
    wit_bindgen::generate!({
        inline: "
            package draft:sample;
            world sample { export tidegate:plugin/before-call@0.2.0-draft; }
        ",
        path: "../../wit/v0.2.0-draft",
        world: "draft:sample/sample",
        generate_all,
    });
}

use bindings::{
    exports::tidegate::plugin::before_call::Guest,
    tidegate::plugin::types::{Context, Decision, Outcome, Round, ToolClass},
};

struct Careful;

impl Guest for Careful {
    fn before(context: Context, _config: String, _arguments: String, _round: Round) -> Outcome {
        let destroys = context.class.is_some_and(|class| class.contains(ToolClass::DESTRUCTIVE));
        let decision = match destroys {
            true => Decision::Refuse(format!("`{}` may destroy", context.target)),
            false => Decision::Proceed,
        };
        Outcome { decision, state: None }
    }
}

bindings::export!(Careful with_types_in bindings);
