//! The table of results, for people: `target/conformance/results.md`.
//!
//! Every run puts a row of its own beside the others', since tests run in processes of their
//! own, and the table is written anew from all rows.

use std::fmt::Write;

use super::{
    outcome::{Outcome, Status},
    suite::{results, slug},
};

const HEAD: &str = "| target | suite | passed | failed | warnings | skipped |\n\
                    |---|---|---|---|---|---|\n";

/// Adds or replaces a row, and prints it.
pub(super) fn add(target: &str, suite: &str, outcome: &Outcome) {
    let [passed, failed, warnings, skipped] =
        [Status::Success, Status::Failure, Status::Warning, Status::Skipped]
            .map(|status| outcome.count(status));
    let row = format!("| {target} | {suite} | {passed} | {failed} | {warnings} | {skipped} |");
    println!("{row}");
    let rows = results().join("rows");
    std::fs::create_dir_all(&rows).unwrap();
    replace(&rows.join(format!("{}.md", slug(&format!("{target} {suite}")))), &row);
    replace(&results().join("results.md"), &whole(&rows));
}

fn whole(rows: &std::path::Path) -> String {
    let mut found: Vec<String> = std::fs::read_dir(rows)
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let finished = path.extension().is_some_and(|extension| extension == "md");
            finished.then(|| std::fs::read_to_string(path).unwrap())
        })
        .collect();
    found.sort();
    let mut table = HEAD.to_owned();
    for row in found {
        writeln!(table, "{row}").unwrap();
    }
    table
}

/// Writes beside the file and renames, since another test may do the same right now.
fn replace(path: &std::path::Path, text: &str) {
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, path).unwrap();
}
