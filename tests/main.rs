//! The one integration binary: the gateway as a whole, and the shape of the tree.

#[cfg(test)]
mod admin_api;
#[cfg(test)]
mod administering;
#[cfg(test)]
mod asking;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod authorizing;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod config;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod crossing;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod features;
#[cfg(test)]
mod first_party;
#[cfg(test)]
mod governance;
#[cfg(test)]
mod guests;
#[cfg(test)]
mod hosted;
#[cfg(test)]
mod leaks;
#[cfg(test)]
mod listening;
#[cfg(test)]
mod misbehaving;
#[cfg(test)]
mod mistaken;
#[cfg(test)]
mod notices;
#[cfg(test)]
mod operating;
#[cfg(test)]
mod organisations;
#[cfg(test)]
mod own_stream;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod plugin_cli;
#[cfg(test)]
mod plugin_walk;
#[cfg(test)]
mod plugins;
#[cfg(test)]
mod questions;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod resuming;
#[cfg(test)]
mod scim;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod sign_in;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod trust;
#[cfg(test)]
mod upstream;
#[cfg(test)]
mod vault;
#[cfg(test)]
mod wire;
