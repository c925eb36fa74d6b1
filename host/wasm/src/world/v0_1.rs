//! The adapter of `wit/v0.1.0`, frozen: its bindings. The rest is in `imports`
//! and `adapter`.

pub(crate) mod bindings {
    #![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
    wasmtime::component::bindgen!({
        inline: "
            package tidegate:host;
            world everything {
                import tidegate:plugin/log@0.1.0;
                import tidegate:plugin/clock@0.1.0;
                import tidegate:plugin/random@0.1.0;
                import tidegate:plugin/state@0.1.0;
                import tidegate:plugin/credential@0.1.0;
                import tidegate:plugin/facts@0.1.0;
                import tidegate:plugin/call@0.1.0;
                import tidegate:plugin/progress@0.1.0;
                export tidegate:plugin/configuration@0.1.0;
                export tidegate:plugin/before-call@0.1.0;
                export tidegate:plugin/after-call@0.1.0;
                export tidegate:plugin/before-prompt@0.1.0;
                export tidegate:plugin/after-prompt@0.1.0;
                export tidegate:plugin/before-read@0.1.0;
                export tidegate:plugin/after-read@0.1.0;
                export tidegate:plugin/before-completion@0.1.0;
                export tidegate:plugin/after-completion@0.1.0;
                export tidegate:plugin/shown@0.1.0;
                export tidegate:plugin/on-question@0.1.0;
                export tidegate:plugin/customize@0.1.0;
                export tidegate:plugin/server@0.1.0;
                export tidegate:plugin/tools@0.1.0;
                export tidegate:plugin/prompts@0.1.0;
                export tidegate:plugin/resources@0.1.0;
            }
        ",
        path: "../../wit/v0.1.0",
        world: "tidegate:host/everything",
        imports: {
            "tidegate:plugin/state": async | trappable,
            "tidegate:plugin/facts.add": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

imports!();
adapter!("0.1.0");

/// The record borrows everything but the list of groups.
fn told<'a>(call: &'a CallContext, groups: &'a [&'a str]) -> host::types::Context<'a> {
    host::types::Context {
        call_id: &call.id,
        org: &call.org,
        vmcp: &call.vmcp,
        connector: &call.connector,
        target: &call.target,
        method: call.method,
        user: &call.user,
        groups,
        client: call.client.as_deref(),
        trace_parent: call.trace_parent.as_deref(),
    }
}
