//! `tidegate-bridge` as the gateway meets it: the real program in front of a real child.
//!
//! A test of crate `wire`, apart from the gateway's integration binary: it needs that crate
//! alone, and building it builds the program.

#[cfg(test)]
#[path = "bridge/machine.rs"]
mod machine;

#[cfg(test)]
#[path = "bridge/children.rs"]
mod children;
#[cfg(test)]
#[path = "bridge/ending.rs"]
mod ending;
#[cfg(test)]
#[path = "bridge/gateways.rs"]
mod gateways;
#[cfg(test)]
#[path = "bridge/relaying.rs"]
mod relaying;
#[cfg(test)]
#[path = "bridge/tokens.rs"]
mod tokens;
