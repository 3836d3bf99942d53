//! Programs that write many files quickly, inside a watched directory that no rule leaves anything out of.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{env, fs, io};

use super::{disk, is_long};
use crate::place::Place;

/// If it fails, what a build leaves is recorded with something missing, or does not come back.
#[test]
fn cargo_build() {
    let place = Place::new();
    place.write("Cargo.toml", "[package]\nname = \"built\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[workspace]\n");
    place.write("src/main.rs", "fn main() { println!(\"{}\", built::one()); }\n");
    place.write("src/lib.rs", "pub fn one() -> u32 { 1 }\n");
    place.write("build.rs", "fn main() { println!(\"cargo::rerun-if-changed=build.rs\"); }\n");
    place.json(&["init"]);
    captured(&place, cargo(&["build", "--offline"]));
    place.write("src/lib.rs", "pub fn one() -> u32 { 2 }\n");
    captured(&place, cargo(&["build", "--offline"]));
    let rebuilt = place.project().join("target/debug/built");
    assert_eq!(Command::new(rebuilt).output().unwrap().stdout, b"2\n");
}

/// This workspace itself, with what it depends on. Long.
#[test]
fn cargo_build_of_a_workspace() {
    if !is_long() {
        return;
    }
    let place = Place::new();
    let workspace = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo runs the tests")).join("../..");
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(&workspace).output().unwrap();
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    for path in String::from_utf8(listed.stdout).unwrap().split_terminator('\0') {
        place.write(path, fs::read(workspace.join(path)).unwrap());
    }
    fs::write(place.project().join(".gitignore"), "").unwrap();
    place.json(&["init"]);
    captured(&place, cargo(&["build", "--offline", "--locked", "-p", "kvd"]));
}

/// Long, and needs a network.
#[test]
fn npm_install() {
    if !is_long() {
        return;
    }
    let place = Place::new();
    place.write("package.json", "{\"name\": \"built\", \"version\": \"0.1.0\", \"private\": true}\n");
    place.json(&["init"]);
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "eslint"]);
    if let Err(error) = Command::new("npm").arg("--version").output() {
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
        println!("npm is not installed: nothing was tried");
        return;
    }
    captured(&place, npm);
    let flushed = place.json(&["flush"]);
    let before = disk::without_shared_files(disk::read(&place.project()));
    fs::remove_dir_all(place.project().join("node_modules")).unwrap();
    place.json(&["restore", flushed["id"].as_str().unwrap(), "-y"]);
    disk::assert_same(&disk::read(&place.project()), &before, "node_modules after rm -rf and restore");
}

/// `cargo`, without what the one that runs this test has set.
fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let inherited = |name: &str| {
        (name.starts_with("CARGO") && name != "CARGO_HOME") || ["RUSTFLAGS", "RUSTC", "RUSTDOC"].contains(&name)
    };
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(inherited)) {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

/// Runs a program in the project while others flush; what it left is recorded, byte for byte.
#[track_caller]
fn captured(place: &Place, mut program: Command) {
    let before = place.json(&["status"])["checkpoints"].as_u64().unwrap();
    let over = AtomicBool::new(false);
    let (output, flushes) = std::thread::scope(|scope| {
        let flusher = scope.spawn(|| {
            let mut flushes = 0;
            while !over.load(Ordering::Relaxed) {
                place.json(&["flush"]);
                flushes += 1;
            }
            flushes
        });
        let output = program.current_dir(place.project()).stdin(Stdio::null()).output();
        over.store(true, Ordering::Relaxed);
        (output.unwrap(), flusher.join().unwrap())
    });
    assert!(output.status.success(), "{program:?}: {}", String::from_utf8_lossy(&output.stderr));
    let flushed = place.json(&["flush"]);
    assert_eq!(flushed["complete"], true, "{flushed}");
    let copy = place.beside("copy");
    let to = copy.to_str().unwrap();
    let restored = place.json(&["restore", flushed["id"].as_str().unwrap(), "--to", to]);
    assert_eq!(restored["verified"], true, "{restored}");
    let present = disk::without_shared_files(disk::read(&place.project()));
    disk::assert_same(&disk::read(&copy), &present, &format!("{program:?}"));
    let status = place.json(&["status"]);
    println!(
        "{} paths, {} checkpoints, {flushes} of them asked for at most; watch {}, memory {}, store {}",
        present.len(),
        status["checkpoints"].as_u64().unwrap() - before,
        status["watch"],
        status["memory"],
        status["store"]["disk_bytes"]
    );
    fs::remove_dir_all(copy).unwrap();
}
