//! `kill -9` while every key is replaced: nothing acknowledged is lost, nothing stays under an
//! old key, and what was begun is finished.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Records that are written and resealed.
const RECORDS: &str = "400";

#[expect(clippy::disallowed_methods, reason = "a soak asks for more rounds than CI has time for")]
fn rounds() -> usize {
    std::env::var("TIDEGATE_ROTATION_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(20)
}

/// Builds the two programs; the folder where they are.
fn programs() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let mut build = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    build.current_dir(&root).args(["build", "--quiet", "-p", "tidegate-store"]);
    let built = build.args(["--example", "rotate_writer", "--example", "rotate_check"]).output();
    let built = built.unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    root.join("target/debug/examples")
}

/// Runs the writer until it has promised so much, kills it, and gives what it promised.
fn killed(program: &Path, dir: &Path, promises: usize) -> Vec<String> {
    let mut writer = Command::new(program);
    let mut child = writer.arg(dir).arg(RECORDS).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut said: Vec<String> = lines.by_ref().take(promises.max(1)).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    said.extend(lines);
    assert!(!said.iter().any(|line| line.starts_with("failed")), "{:?}", said.last());
    // The last line may be cut off.
    said.pop();
    said
}

#[test]
fn a_rotation_that_is_killed_loses_nothing_and_is_finished() {
    let programs = programs();
    let (writer, checker) = (programs.join("rotate_writer"), programs.join("rotate_check"));
    let dir = tempfile::tempdir().unwrap();
    let mut said = Vec::new();
    for round in 0..rounds() {
        // From the first rows of a resealing to several rotations.
        said.extend(killed(&writer, dir.path(), round * 7_919 % 600));
        let mut check = Command::new(&checker);
        check.arg(dir.path()).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = check.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // One that ended early says why on its own.
        drop(stdin.write_all(said.join("\n").as_bytes()));
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "round {round}, {} acks: {why}", said.len());
    }
}
