//! The gateway as authorization server and resource server, with accounts of its own: what a
//! client and a browser get that know one URL, and what they do not get.
//!
//! Everything is found by following challenges, metadata, forms and redirects.

mod anew;
mod assertions;
mod bed;
mod clients;
mod doors;
mod exchanging;
mod floods;
mod pages;
mod programs;
mod provider;
mod signer;
mod step_up;
mod switched;
mod tokens;
mod way;
