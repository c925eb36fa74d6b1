//! The marked blocks of the guide.

use std::path::Path;

/// What a block is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// Run once; it must end well.
    Run,
    /// Run until what it prints is what the next block says.
    Eventually,
    /// Starts the gateway, which goes on.
    Serve,
    /// Lines that were printed.
    Says,
}

/// A fenced block that takes part.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) mark: Mark,
    pub(super) text: String,
}

impl Block {
    /// The first of its lines that `printed` does not hold.
    pub(super) fn missing_in(&self, printed: &str) -> Option<&str> {
        self.text.lines().find(|line| !printed.contains(line))
    }
}

/// The guide as it stands.
pub(super) fn text() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/README.md");
    std::fs::read_to_string(path).unwrap()
}

/// The blocks of `guide` for somebody who writes in `language`, in order.
pub(super) fn blocks(guide: &str, language: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let text: String = body.iter().flat_map(|line| [*line, "\n"]).collect();
        if let Some(mark) = mark(info, language) {
            blocks.push(Block { mark, text });
        }
    }
    blocks
}

fn mark(info: &str, language: &str) -> Option<Mark> {
    let walk = info.split(' ').find_map(|word| word.strip_prefix("walk"))?;
    match walk.strip_prefix('=') {
        None => Some(Mark::Run),
        Some("serve") => Some(Mark::Serve),
        Some("eventually") => Some(Mark::Eventually),
        Some("says") => Some(Mark::Says),
        Some(only @ ("rust" | "js" | "python")) => (only == language).then_some(Mark::Run),
        Some(other) => panic!("the guide has a block with the unknown mark `walk={other}`"),
    }
}
