//! tl: a project of real files is protected, edited, damaged, and at last removed as a whole; after each damage every byte is compared.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::sources::Source;
use super::tl::Tl;
use super::{DataSet, cargo, empty_directory, mebibytes};

/// With these in the project, some of its files would not be recorded.
const RULES: [&str; 3] = [".gitignore", ".ignore", ".tlignore"];
/// One file in so many is removed, and one is overwritten.
const DAMAGED: usize = 3;

pub(super) fn run(root: &Path, data: &DataSet) -> Result<()> {
    let place = data.target.join("demo").join("timelapse");
    empty_directory(&place)?;
    let installed = data.target.join("demo").join("installed");
    let to = installed.to_str().context("the path of the build directory is no text")?;
    cargo(root, &["install", "--quiet", "--locked", "--force", "--path", "crates/tl", "--root", to])?;
    let tl = Tl::new(installed.join("bin").join(format!("tl{}", std::env::consts::EXE_SUFFIX)), place.clone())?;
    let mut project = Project::write(place.join("project"), &data.files)?;

    println!("\nA project of {} files, protected:", project.files.len());
    tl.show(&project.root, &["init"])?;
    edit(&tl, &mut project)?;
    damage(&tl, &project)?;
    kill(&tl, &mut project)?;
    let store = remove(&tl, &mut project)?;
    println!("\nThe whole store, checked:");
    tl.show(&project.root, &["--store", &store, "verify"])?;
    println!("\nDone: every file is as it was saved last. `tl init` in a directory of yours protects it.");
    Ok(())
}

/// A directory, and what is to be in it.
struct Project<'a> {
    root: PathBuf,
    files: Vec<(&'a str, Vec<u8>)>,
}

impl<'a> Project<'a> {
    fn write(root: PathBuf, sources: &'a [Source]) -> Result<Self> {
        let recorded = sources.iter().filter(|source| !RULES.iter().any(|name| source.path.ends_with(name)));
        let files: Vec<_> = recorded.map(|source| (source.path.as_str(), source.content.clone())).collect();
        let project = Self { root, files };
        for (path, content) in &project.files {
            let path = project.root.join(path);
            fs::create_dir_all(path.parent().unwrap_or(&project.root)).context("create a directory of the project")?;
            fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
        }
        Ok(project)
    }

    fn save(&mut self, number: usize, content: Vec<u8>) -> Result<()> {
        let (path, saved) = &mut self.files[number];
        fs::write(self.root.join(&**path), &content).with_context(|| format!("write {path}"))?;
        *saved = content;
        Ok(())
    }

    /// Fails unless every file is as it was saved last, and there is no other.
    fn compare(&self) -> Result<()> {
        for (path, content) in &self.files {
            let found = fs::read(self.root.join(path)).with_context(|| format!("read {path}"))?;
            ensure!(found == *content, "{path} came back with other bytes");
        }
        let found = count_files(&self.root)?;
        // The marker of the store is none of them; a copy that was written elsewhere has none.
        let marker = usize::from(self.root.join(".tl").exists());
        ensure!(found == self.files.len() + marker, "{found} files are there, not {}", self.files.len() + marker);
        println!("  all {} files, byte for byte, and no other", self.files.len());
        Ok(())
    }
}

fn count_files(directory: &Path) -> Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(directory).with_context(|| format!("list {}", directory.display()))? {
        let entry = entry.context("list a directory of the project")?;
        count += if entry.file_type()?.is_dir() { count_files(&entry.path())? } else { 1 };
    }
    Ok(count)
}

fn text<'a>(answer: &'a Value, field: &str) -> Result<&'a str> {
    answer[field].as_str().with_context(|| format!("no `{field}` in {answer}"))
}

fn edit(tl: &Tl, project: &mut Project<'_>) -> Result<()> {
    println!("\nTwo saves, each of them a state:");
    for content in ["a first thought\n", "a second thought\n"] {
        project.save(0, content.into())?;
        tl.show(&project.root, &["flush"])?;
    }
    tl.show(&project.root, &["log", "--limit", "3"])?;
    tl.show(&project.root, &["diff", "@-1", "@"])
}

fn damage(tl: &Tl, project: &Project<'_>) -> Result<()> {
    let head = tl.json(&project.root, &["flush"])?;
    let state = text(&head, "id")?;
    let (mut removed, mut overwritten) = (0, 0);
    for (number, (path, _)) in project.files.iter().enumerate() {
        match number % DAMAGED {
            0 => fs::remove_file(project.root.join(path)).map(|()| removed += 1),
            1 => fs::write(project.root.join(path), "gone").map(|()| overwritten += 1),
            _ => Ok(()),
        }
        .with_context(|| format!("damage {path}"))?;
    }
    println!("\nA script runs wild: {removed} files are removed, {overwritten} overwritten. Back to the state before:");
    let start = Instant::now();
    tl.show(&project.root, &["restore", state, "-y"])?;
    println!("  {:.2} s", start.elapsed().as_secs_f64());
    project.compare()
}

fn kill(tl: &Tl, project: &mut Project<'_>) -> Result<()> {
    let status = tl.json(&project.root, &["status"])?;
    let pid = status["daemon"].as_u64().with_context(|| format!("no daemon in {status}"))?;
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status().context("run kill")?;
    ensure!(killed.success(), "kill: {killed}");
    println!(
        "\nThe daemon {pid} is killed with signal 9, and a file is saved while nobody watches. The next command starts a daemon, which finds it:"
    );
    project.save(1, b"saved while nobody watched\n".to_vec())?;
    tl.show(&project.root, &["flush"])?;
    tl.show(&project.root, &["show"])
}

/// Returns the id of the store.
fn remove(tl: &Tl, project: &mut Project<'_>) -> Result<String> {
    let stores = tl.json(&project.root, &["stores"])?;
    let store = text(&stores[0], "id")?.to_owned();
    let above = project.root.parent().context("the project is the root of the filesystem")?.to_owned();
    fs::remove_dir_all(&project.root).context("remove the project")?;
    println!("\nThe whole project is removed, as by `rm -rf`. Its history is elsewhere:");
    tl.show(&above, &["stores"])?;
    project.root = above.join("again");
    let to = project.root.to_str().context("the path of the build directory is no text")?.to_owned();
    let start = Instant::now();
    tl.show(&above, &["restore", "--store", &store, "--to", &to, "-y"])?;
    let bytes = project.files.iter().map(|(_, content)| content.len()).sum();
    println!("  {} in {:.2} s", mebibytes(bytes), start.elapsed().as_secs_f64());
    project.compare()?;
    Ok(store)
}
