//! Lists of what a gateway keeps: fetched page after page, shown as one table.

use clap::Args;
use serde::{Serialize, de::DeserializeOwned};

use super::{door::Through, plugin::confirm, table::table};

/// `list` of a noun whose entries have names.
#[derive(Debug, Args)]
pub(super) struct List {
    /// What names, ids or addresses begin with.
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    #[command(flatten)]
    through: Through,
}

/// How entries look in a table.
pub(super) struct Columns<T, const N: usize> {
    pub(super) headings: [&'static str; N],
    pub(super) row: fn(&T) -> [String; N],
    /// What is said where there is no entry.
    pub(super) none: &'static str,
}

impl List {
    /// Shows all entries at `path`; `of` takes a page apart.
    pub(super) async fn show<P: DeserializeOwned, T: Serialize, const N: usize>(
        &self,
        path: &str,
        of: fn(P) -> (Vec<T>, Option<String>),
        columns: &Columns<T, N>,
    ) -> anyhow::Result<()> {
        let wanted = [("prefix", self.prefix.as_ref())];
        let entries = self.through.door()?.all(path, &wanted, of).await?;
        columns.tell(&self.through, &entries)
    }
}

impl<T: Serialize, const N: usize> Columns<T, N> {
    /// Says the entries, as a table where JSON is not wanted.
    pub(super) fn tell(&self, through: &Through, entries: &[T]) -> anyhow::Result<()> {
        through.tell(&entries, |entries| {
            let rows: Vec<_> = entries.iter().map(self.row).collect();
            table(self.headings, &rows, self.none)
        })
    }
}

/// Goes on only where somebody has said yes, here or before.
pub(super) fn sure(is_sure: bool, question: &str) -> anyhow::Result<()> {
    if is_sure || confirm(question)? {
        return Ok(());
    }
    anyhow::bail!("nothing was changed")
}
