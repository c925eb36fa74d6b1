//! The policy engine: schema from the catalogue, strict validation, decisions.
//!
//! Performs no IO and reads no clock. [`compile`] turns files and tools into [`Policies`];
//! [`permit`] is the proof that a call was allowed, [`Denial`] what stands in its place.
//! Inside: `read`, `check` and `schema` at load; `slice`, `plan` and `decide` at run time.

pub mod admin;
pub mod builtin;
mod cache;
mod check;
mod decide;
pub mod denial;
pub mod input;
mod mention;
pub mod permit;
mod plan;
mod read;
pub mod request;
mod rule;
pub mod schema;
mod shape;
mod slice;
mod text;
mod value;
mod world;

pub use admin::AdminAction;
pub use check::PERMITS_ADMINISTRATION;
pub use decide::{Decision, Policies};
pub use denial::{Denial, DenialKind};
pub use input::{Effect, Mode, PolicyFile, PolicyInfo, PolicyInput, Problem};
pub use permit::Permitted;
pub use request::RequestContext;

/// Checks the policies against the schema made from the tools, and makes them ready, with the
/// [`builtin`] ones under them.
///
/// Returns every problem found, in the order of the files; never half a policy set.
pub fn compile(input: &PolicyInput<'_>) -> Result<Policies, Vec<Problem>> {
    let fault = |e: &dyn std::error::Error| vec![Problem::of_schema(&e.to_string())];
    let world = world::World::new(input).map_err(|e| fault(&e))?;
    let base = schema::base().map_err(|e| fault(&e))?;
    let actions = schema::base_actions(&base).map_err(|e| fault(&e))?;
    let (mut files, own) = (input.files.to_vec(), input.files.len());
    files.push(builtin::file());
    let mut reading = read::Reading::new((&files, own), &world, actions);
    check::check(&mut reading, &world, &base).map_err(|e| fault(&e))?;
    let own = reading.own();
    let (entries, problems) = reading.into_parts();
    if problems.is_empty() {
        Ok(Policies::new(world, input.revision, (entries, own)))
    } else {
        Err(problems)
    }
}

#[cfg(test)]
mod tests;
