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
mod glue;
pub mod host;
pub mod interceptor;
#[cfg(target_arch = "wasm32")]
mod memory;

pub use bindings::base::tidegate::plugin::types::Context;
pub use connector::{CallError, Connector, Description};
pub use customizer::{Customizer, Edit, Scope};
pub use glue::Glue;
pub use interceptor::{After, Answer, Before, Interceptor, Outcome};
pub use serde_json;

/// Reads a configuration (or any other JSON text) into a type.
///
/// The host has checked the configuration against the plugin's schema, so an error here
/// means that schema and type disagree; the text names the place.
pub fn read<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, String> {
    serde_json::from_str(json).map_err(|error| format!("configuration: {error}"))
}

/// Exports a type as a component, with exactly the events named.
///
/// ```ignore
/// tidegate_plugin::export!(interceptor Redact: before, after);
/// tidegate_plugin::export!(customizer Retool);
/// tidegate_plugin::export!(connector Crm);
/// ```
#[macro_export]
macro_rules! export {
    (interceptor $plugin:ty: $($event:ident),+) => {
        $crate::export!(@configuration $plugin, interceptor);
        $($crate::export!(@event $event $plugin);)+
    };
    (customizer $plugin:ty) => {
        $crate::export!(@configuration $plugin, customizer);
        $crate::export!(@event customize $plugin);
    };
    (connector $plugin:ty) => {
        $crate::export!(@configuration $plugin, connector);
        $crate::export!(@event tools $plugin);
    };
    (@event customize $plugin:ty) => {
        const _: () = {
            type Exported = $crate::Glue<$plugin>;
            $crate::bindings::customize::__export_customize!(
                Exported with_types_in $crate::bindings::customize
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
    (@event before $plugin:ty) => {
        const _: () = {
            type Exported = $crate::Glue<$plugin>;
            $crate::bindings::before::__export_before!(
                Exported with_types_in $crate::bindings::before
            );
        };
    };
    (@event after $plugin:ty) => {
        const _: () = {
            type Exported = $crate::Glue<$plugin>;
            $crate::bindings::after::__export_after!(
                Exported with_types_in $crate::bindings::after
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
