//! The adapter of `wit/v0.2.0-draft`, where the next version grows. Draft: component and
//! gateway belong together.

use tidegate_model::ToolClass;

pub(crate) mod bindings {
    #![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
    wasmtime::component::bindgen!({
        inline: "
            package tidegate:host;
            world everything {
                import tidegate:plugin/log@0.2.0-draft;
                import tidegate:plugin/clock@0.2.0-draft;
                import tidegate:plugin/random@0.2.0-draft;
                import tidegate:plugin/state@0.2.0-draft;
                import tidegate:plugin/credential@0.2.0-draft;
                import tidegate:plugin/facts@0.2.0-draft;
                import tidegate:plugin/call@0.2.0-draft;
                import tidegate:plugin/progress@0.2.0-draft;
                export tidegate:plugin/configuration@0.2.0-draft;
                export tidegate:plugin/before-call@0.2.0-draft;
                export tidegate:plugin/after-call@0.2.0-draft;
                export tidegate:plugin/before-prompt@0.2.0-draft;
                export tidegate:plugin/after-prompt@0.2.0-draft;
                export tidegate:plugin/before-read@0.2.0-draft;
                export tidegate:plugin/after-read@0.2.0-draft;
                export tidegate:plugin/before-completion@0.2.0-draft;
                export tidegate:plugin/after-completion@0.2.0-draft;
                export tidegate:plugin/shown@0.2.0-draft;
                export tidegate:plugin/on-question@0.2.0-draft;
                export tidegate:plugin/customize@0.2.0-draft;
                export tidegate:plugin/server@0.2.0-draft;
                export tidegate:plugin/tools@0.2.0-draft;
                export tidegate:plugin/prompts@0.2.0-draft;
                export tidegate:plugin/resources@0.2.0-draft;
            }
        ",
        path: "../../wit/v0.2.0-draft",
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
adapter!("0.2.0-draft");

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
        class: call.class.map(class),
    }
}

fn class(class: ToolClass) -> host::types::ToolClass {
    [
        (class.read_only, host::types::ToolClass::READ_ONLY),
        (class.destructive, host::types::ToolClass::DESTRUCTIVE),
        (class.idempotent, host::types::ToolClass::IDEMPOTENT),
        (class.open_world, host::types::ToolClass::OPEN_WORLD),
    ]
    .into_iter()
    .filter(|(is_so, _)| *is_so)
    .fold(host::types::ToolClass::empty(), |all, (_, one)| all | one)
}
