//! What wit-bindgen generates: one small world per interface, so that a component exports
//! only what it implements. Shared types live in `base`.
#![allow(missing_docs, unreachable_pub, reason = "generated code")]

pub mod base {
    wit_bindgen::generate!({
        inline: "package tidegate:sdk;
            world host {
                import tidegate:plugin/types@0.1.0;
                import tidegate:plugin/log@0.1.0;
                import tidegate:plugin/clock@0.1.0;
                import tidegate:plugin/random@0.1.0;
                import tidegate:plugin/state@0.1.0;
                import tidegate:plugin/credential@0.1.0;
                import tidegate:plugin/facts@0.1.0;
                import tidegate:plugin/call@0.1.0;
                import tidegate:plugin/progress@0.1.0;
            }",
        path: "../../wit/v0.1.0",
        world: "tidegate:sdk/host",
        additional_derives: [PartialEq],
        generate_all,
    });
}

macro_rules! event {
    ($module:ident, $inline:literal, $world:literal, $export:literal) => {
        pub mod $module {
            wit_bindgen::generate!({
                inline: $inline,
                path: "../../wit/v0.1.0",
                world: $world,
                with: {
                    "tidegate:plugin/types@0.1.0":
                        crate::bindings::base::tidegate::plugin::types,
                },
                additional_derives: [PartialEq],
                generate_all,
                pub_export_macro: true,
                export_macro_name: $export,
            });
        }
    };
}

event!(
    configuration,
    "package tidegate:sdk; world configuration { export tidegate:plugin/configuration@0.1.0; }",
    "tidegate:sdk/configuration",
    "__export_configuration"
);
event!(
    before_call,
    "package tidegate:sdk; world before-call-world { export tidegate:plugin/before-call@0.1.0; }",
    "tidegate:sdk/before-call-world",
    "__export_before_call"
);
event!(
    after_call,
    "package tidegate:sdk; world after-call-world { export tidegate:plugin/after-call@0.1.0; }",
    "tidegate:sdk/after-call-world",
    "__export_after_call"
);
event!(
    before_prompt,
    "package tidegate:sdk; world before-prompt-world { export tidegate:plugin/before-prompt@0.1.0; }",
    "tidegate:sdk/before-prompt-world",
    "__export_before_prompt"
);
event!(
    after_prompt,
    "package tidegate:sdk; world after-prompt-world { export tidegate:plugin/after-prompt@0.1.0; }",
    "tidegate:sdk/after-prompt-world",
    "__export_after_prompt"
);
event!(
    before_read,
    "package tidegate:sdk; world before-read-world { export tidegate:plugin/before-read@0.1.0; }",
    "tidegate:sdk/before-read-world",
    "__export_before_read"
);
event!(
    after_read,
    "package tidegate:sdk; world after-read-world { export tidegate:plugin/after-read@0.1.0; }",
    "tidegate:sdk/after-read-world",
    "__export_after_read"
);
event!(
    before_completion,
    "package tidegate:sdk; world before-completion-world { export tidegate:plugin/before-completion@0.1.0; }",
    "tidegate:sdk/before-completion-world",
    "__export_before_completion"
);
event!(
    after_completion,
    "package tidegate:sdk; world after-completion-world { export tidegate:plugin/after-completion@0.1.0; }",
    "tidegate:sdk/after-completion-world",
    "__export_after_completion"
);
event!(
    shown,
    "package tidegate:sdk; world shown-world { export tidegate:plugin/shown@0.1.0; }",
    "tidegate:sdk/shown-world",
    "__export_shown"
);
event!(
    on_question,
    "package tidegate:sdk; world on-question-world { export tidegate:plugin/on-question@0.1.0; }",
    "tidegate:sdk/on-question-world",
    "__export_on_question"
);
event!(
    customize,
    "package tidegate:sdk; world customize-world { export tidegate:plugin/customize@0.1.0; }",
    "tidegate:sdk/customize-world",
    "__export_customize"
);
event!(
    server,
    "package tidegate:sdk; world server-world { export tidegate:plugin/server@0.1.0; }",
    "tidegate:sdk/server-world",
    "__export_server"
);
event!(
    tools,
    "package tidegate:sdk; world tools-world { export tidegate:plugin/tools@0.1.0; }",
    "tidegate:sdk/tools-world",
    "__export_tools"
);
event!(
    prompts,
    "package tidegate:sdk; world prompts-world { export tidegate:plugin/prompts@0.1.0; }",
    "tidegate:sdk/prompts-world",
    "__export_prompts"
);
event!(
    resources,
    "package tidegate:sdk; world resources-world { export tidegate:plugin/resources@0.1.0; }",
    "tidegate:sdk/resources-world",
    "__export_resources"
);
