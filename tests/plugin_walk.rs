//! The guide of `plugins/README.md`, walked in each language: its commands, as they stand there.
//!
//! A fenced block takes part by what follows its language: `walk` for everybody, `walk=rust` for
//! one language, `walk=serve` for the gateway, which then runs, `walk=eventually` for what is
//! repeated until the next block holds, and `walk=says` for lines that the block before must have
//! printed. Knows no command by name. What npm and pip install comes from caches that
//! `cargo xtask test` fills; the address of the gateway is the only thing that is exchanged.

mod guide;
mod shell;

use guide::{Block, Mark};
use shell::Shell;

/// Where the guide says that the gateway listens.
const ADDRESS: &str = "127.0.0.1:8787";

#[tokio::test]
async fn the_guide_holds_in_rust() {
    walk("rust").await;
}

#[tokio::test]
async fn the_guide_holds_in_javascript() {
    walk("js").await;
}

#[tokio::test]
async fn the_guide_holds_in_python() {
    walk("python").await;
}

async fn walk(language: &str) {
    let blocks = guide::blocks(&guide::text(), language);
    let mut shell = Shell::new(language);
    let mut at = 0;
    while let Some(block) = blocks.get(at) {
        at += 1;
        let text = shell.address.as_ref().map(|address| block.text.replace(ADDRESS, address));
        let text = text.unwrap_or_else(|| block.text.clone());
        let says: Vec<&Block> =
            blocks.iter().skip(at).take_while(|next| next.mark == Mark::Says).collect();
        match block.mark {
            Mark::Run => {
                let printed = shell.run(&text).await;
                for says in &says {
                    let missing = says.missing_in(&printed);
                    assert!(
                        missing.is_none(),
                        "{language}: {text}\nprinted no {missing:?}:\n{printed}"
                    );
                }
            }
            Mark::Eventually => {
                let holds = |printed: &str| says.iter().all(|it| it.missing_in(printed).is_none());
                shell.run_until(&text, holds).await;
            }
            Mark::Serve => shell.serve(&text).await,
            Mark::Says => panic!("{language}: nothing was printed before: {}", block.text),
        }
        at += says.len();
    }
}

#[test]
fn a_guide_is_read_as_it_is_marked() {
    let text = "# A\n```sh walk\na\nb\n```\n```toml\nnot = \"run\"\n```\n```sh walk=js\nc\n```\n\
                ```sh walk=rust\nd\n```\n```sh later\ne\n```\n```text walk=says\nf\n```\n";
    let read = guide::blocks(text, "rust");
    let expected = [(Mark::Run, "a\nb\n"), (Mark::Run, "d\n"), (Mark::Says, "f\n")];
    assert_eq!(read.iter().map(|b| (b.mark, b.text.as_str())).collect::<Vec<_>>(), expected);
    assert_eq!(read[2].missing_in("e f g"), None);
    assert_eq!(read[2].missing_in("e g"), Some("f"));
}

#[test]
fn every_language_walks_the_same_way() {
    let marks = |language| {
        let blocks = guide::blocks(&guide::text(), language);
        blocks.iter().map(|block| block.mark).collect::<Vec<_>>()
    };
    let rust = marks("rust");
    assert!(rust.contains(&Mark::Serve) && rust.contains(&Mark::Says), "{rust:?}");
    assert_eq!(marks("js"), rust);
    assert_eq!(marks("python"), rust);
}
