//! The audit record: opened first, closed exactly once.
//!
//! Knows what a row says and when it must be durable; the bytes on disk belong to
//! `store::log`. A record that nobody closes writes an `abandoned` row when it is dropped.

pub mod index;
pub mod mask;
pub mod receipt;
pub mod record;
pub mod row;
pub mod unfinished;

pub use index::{Filter, Index, IndexError};
pub use receipt::Receipt;
pub use record::{Audit, AuditError, AuditOptions, Durability, PayloadOptions, Record};
pub use row::{Actor, BadRow, Digest, Phase, PluginNote, ROW_VERSION, Row, Status};
pub use unfinished::unfinished;
