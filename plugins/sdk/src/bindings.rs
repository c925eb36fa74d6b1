//! What wit-bindgen generates: one small world per interface, so that a component exports
//! only what it implements. Shared types live in `base`.
#![allow(missing_docs, unreachable_pub, reason = "generated code")]

pub mod base {
    wit_bindgen::generate!({
        inline: "package tidegate:sdk;
            world host {
                import tidegate:plugin/types@0.1.0-draft;
                import tidegate:plugin/log@0.1.0-draft;
                import tidegate:plugin/clock@0.1.0-draft;
                import tidegate:plugin/random@0.1.0-draft;
                import tidegate:plugin/call@0.1.0-draft;
                import tidegate:plugin/progress@0.1.0-draft;
            }",
        path: "../../wit/v0.1.0-draft",
        world: "tidegate:sdk/host",
        generate_all,
    });
}

macro_rules! event {
    ($module:ident, $inline:literal, $world:literal, $export:literal) => {
        pub mod $module {
            wit_bindgen::generate!({
                inline: $inline,
                path: "../../wit/v0.1.0-draft",
                world: $world,
                with: {
                    "tidegate:plugin/types@0.1.0-draft":
                        crate::bindings::base::tidegate::plugin::types,
                },
                generate_all,
                pub_export_macro: true,
                export_macro_name: $export,
            });
        }
    };
}

event!(
    configuration,
    "package tidegate:sdk; world configuration { export tidegate:plugin/configuration@0.1.0-draft; }",
    "tidegate:sdk/configuration",
    "__export_configuration"
);
event!(
    before,
    "package tidegate:sdk; world before { export tidegate:plugin/before-call@0.1.0-draft; }",
    "tidegate:sdk/before",
    "__export_before"
);
event!(
    after,
    "package tidegate:sdk; world after { export tidegate:plugin/after-call@0.1.0-draft; }",
    "tidegate:sdk/after",
    "__export_after"
);
event!(
    customize,
    "package tidegate:sdk; world customize { export tidegate:plugin/customize@0.1.0-draft; }",
    "tidegate:sdk/customize",
    "__export_customize"
);
event!(
    tools,
    "package tidegate:sdk; world tools { export tidegate:plugin/tools@0.1.0-draft; }",
    "tidegate:sdk/tools",
    "__export_tools"
);
