//! Write Tidegate plugins in Rust.
//!
//! Implement [`Interceptor`], [`Customizer`] or [`Connector`] for a type and name it in
//! [`export!`]; host capabilities are in [`host`]. Everything here also compiles natively,
//! where the capabilities are test doubles, so that a plugin's logic is tested by plain
//! `cargo test`. How bytes cross the boundary is the business of [`bindings`] alone.

#[doc(hidden)]
pub mod bindings;
pub mod connector;
pub mod customizer;
#[cfg(not(target_arch = "wasm32"))]
pub mod double;
pub mod glob;
mod glue;
pub mod host;
pub mod interceptor;
#[cfg(target_arch = "wasm32")]
mod memory;

pub use bindings::base::tidegate::plugin::types::{
    Answer, Context, Decision, Failure, Outcome, Question, Reply, Review, Round,
};
pub use connector::{Connector, Description};
pub use customizer::{Customizer, Edit, Scope};
pub use glue::Glue;
pub use interceptor::{Interceptor, ListKind, QuestionDecision, Shown};
pub use serde_json;

/// Reads a configuration (or any other JSON text) into a type.
///
/// The host has checked the configuration against the plugin's schema, so an error here
/// means that schema and type disagree; the text names the place.
pub fn read<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, String> {
    serde_json::from_str(json).map_err(|error| format!("configuration: {error}"))
}

/// Exports a type as a component, with exactly the events (or offers) named.
///
/// ```ignore
/// tidegate_plugin::export!(interceptor Redact: before_call, after_call, after_prompt);
/// tidegate_plugin::export!(customizer Retool);
/// tidegate_plugin::export!(connector Crm);                       // tools
/// tidegate_plugin::export!(connector Wiki: tools, prompts, resources);
/// ```
#[macro_export]
macro_rules! export {
    (interceptor $plugin:ty: $($event:ident),+ $(,)?) => {
        $crate::export!(@configuration $plugin, interceptor);
        $($crate::export!(@event $event $plugin);)+
    };
    (customizer $plugin:ty) => {
        $crate::export!(@configuration $plugin, customizer);
        $crate::export!(@event customize $plugin);
    };
    (connector $plugin:ty) => {
        $crate::export!(connector $plugin: tools);
    };
    (connector $plugin:ty: $($offer:ident),+ $(,)?) => {
        $crate::export!(@configuration $plugin, connector);
        $crate::export!(@event server $plugin);
        $($crate::export!(@event $offer $plugin);)+
    };
    (@event before_call $plugin:ty) => {
        const _: () = {
            type Exported = $crate::Glue<$plugin>;
            $crate::bindings::before_call::__export_before_call!(
                Exported with_types_in $crate::bindings::before_call
            );
        };
    };
    (@event after_call $plugin:ty) => {
        const _: () = {
            type Exported = $crate::Glue<$plugin>;
            $crate::bindings::after_call::__export_after_call!(
                Exported with_types_in $crate::bindings::after_call
            );
        };
    };
    (@event before_prompt $plugin:ty) => {
        const _: () = {
            type Exported = $crate::Glue<$plugin>;
            $crate::bindings::before_prompt::__export_before_prompt!(
                Exported with_types_in $crate::bindings::before_prompt
            );
        };
    };
    (@event after_prompt $plugin:ty) => {
        const _: () = {
            type Exported = $crate::Glue<$plugin>;
            $crate::bindings::after_prompt::__export_after_prompt!(
                Exported with_types_in $crate::bindings::after_prompt
            );
        };
    };
    (@event before_read $plugin:ty) => {
        const _: () = {
            type Exported = $crate::Glue<$plugin>;
            $crate::bindings::before_read::__export_before_read!(
                Exported with_types_in $crate::bindings::before_read
            );
        };
    };
    (@event after_read $plugin:ty) => {
        const _: () = {
            type Exported = $crate::Glue<$plugin>;
            $crate::bindings::after_read::__export_after_read!(
                Exported with_types_in $crate::bindings::after_read
            );
        };
    };
    (@event before_completion $plugin:ty) => {
        const _: () = {
            type Exported = $crate::Glue<$plugin>;
            $crate::bindings::before_completion::__export_before_completion!(
                Exported with_types_in $crate::bindings::before_completion
            );
        };
    };
    (@event after_completion $plugin:ty) => {
        const _: () = {
            type Exported = $crate::Glue<$plugin>;
            $crate::bindings::after_completion::__export_after_completion!(
                Exported with_types_in $crate::bindings::after_completion
            );
        };
    };
    (@event shown $plugin:ty) => {
        const _: () = {
            type Exported = $crate::Glue<$plugin>;
            $crate::bindings::shown::__export_shown!(
                Exported with_types_in $crate::bindings::shown
            );
        };
    };
    (@event on_question $plugin:ty) => {
        const _: () = {
            type Exported = $crate::Glue<$plugin>;
            $crate::bindings::on_question::__export_on_question!(
                Exported with_types_in $crate::bindings::on_question
            );
        };
    };
    (@event customize $plugin:ty) => {
        const _: () = {
            type Exported = $crate::Glue<$plugin>;
            $crate::bindings::customize::__export_customize!(
                Exported with_types_in $crate::bindings::customize
            );
        };
    };
    (@event server $plugin:ty) => {
        const _: () = {
            type Exported = $crate::Glue<$plugin>;
            $crate::bindings::server::__export_server!(
                Exported with_types_in $crate::bindings::server
            );
        };
    };
    (@event tools $plugin:ty) => {
        const _: () = {
            type Exported = $crate::Glue<$plugin>;
            $crate::bindings::tools::__export_tools!(
                Exported with_types_in $crate::bindings::tools
            );
        };
    };
    (@event prompts $plugin:ty) => {
        const _: () = {
            type Exported = $crate::Glue<$plugin>;
            $crate::bindings::prompts::__export_prompts!(
                Exported with_types_in $crate::bindings::prompts
            );
        };
    };
    (@event resources $plugin:ty) => {
        const _: () = {
            type Exported = $crate::Glue<$plugin>;
            $crate::bindings::resources::__export_resources!(
                Exported with_types_in $crate::bindings::resources
            );
        };
    };
    (@configuration $plugin:ty, $kind:ident) => {
        const _: () = {
            struct Exported;
            impl $crate::bindings::configuration::exports::tidegate::plugin::configuration::Guest
                for Exported
            {
                fn schema() -> String {
                    $crate::export!(@schema $plugin, $kind).into()
                }
            }
            $crate::bindings::configuration::__export_configuration!(
                Exported with_types_in $crate::bindings::configuration
            );
        };
    };
    (@schema $plugin:ty, interceptor) => {
        <$plugin as $crate::Interceptor>::SCHEMA
    };
    (@schema $plugin:ty, customizer) => {
        <$plugin as $crate::Customizer>::SCHEMA
    };
    (@schema $plugin:ty, connector) => {
        <$plugin as $crate::Connector>::SCHEMA
    };
}

/// The schema of a plugin without configuration.
pub const NO_CONFIGURATION: &str = r#"{"type":"object","additionalProperties":false}"#;
