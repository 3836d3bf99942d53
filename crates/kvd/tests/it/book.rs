//! The examples of the book's chapter on kvd.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

/// If it fails, the book shows what kvd does not print. Lines that begin with `$ ` are run by a shell, one after the other in one directory.
#[test]
fn the_book_shows_what_kvd_prints() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap());
    let chapter = fs::read_to_string(root.join("../../docs/book/src/kvd.md")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut commands = 0;
    for block in chapter.split("```console").skip(1) {
        let (info, block) = block.split_once('\n').unwrap();
        let figures_may_differ = info == ",figures";
        let block = block.split("\n```").next().unwrap();
        for example in block.strip_prefix("$ ").unwrap().split("\n$ ") {
            let (command, shown) = example.split_once('\n').unwrap_or((example, ""));
            let printed = run(dir.path(), command);
            let printed = printed.trim_end_matches('\n');
            if figures_may_differ {
                assert_eq!(without_figures(printed), without_figures(shown), "$ {command}");
            } else {
                assert_eq!(printed, shown, "$ {command}");
            }
            commands += 1;
        }
    }
    assert!(commands >= 20, "only {commands} examples were found");
}

fn run(dir: &Path, command: &str) -> String {
    let programs = Path::new(env!("CARGO_BIN_EXE_kvd")).parent().unwrap().to_owned();
    let mut path = vec![programs];
    path.extend(env::split_paths(&env::var_os("PATH").unwrap()));
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1; {command}")])
        .current_dir(dir)
        .env("PATH", env::join_paths(path).unwrap())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Sizes change with the engine; words and their order do not.
fn without_figures(text: &str) -> String {
    let words = text.split_whitespace().map(|word| match word.trim_end_matches(',') {
        "B" | "KiB" | "MiB" | "GiB" => "unit",
        word if word.starts_with(|letter: char| letter.is_ascii_digit()) => "figure",
        word => word,
    });
    words.collect::<Vec<_>>().join(" ")
}
