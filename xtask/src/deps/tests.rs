//! Canaries: graphs that break one rule each.

use super::graph::{Dependency, Graph, Member, Usage};
use super::policy::CRATES;
use super::{check, run};

/// The workspace itself keeps to its layers.
#[test]
fn the_workspace_keeps_to_its_layers() {
    run(&crate::workspace::root().unwrap()).unwrap();
}

fn member(name: &str, dependencies: Vec<Dependency>) -> Member {
    Member { name: name.to_owned(), dependencies }
}

fn uses(name: &str) -> Dependency {
    Dependency { name: name.to_owned(), usage: Usage::Product, optional: false }
}

fn tests_use(name: &str) -> Dependency {
    Dependency { name: name.to_owned(), usage: Usage::Dev, optional: false }
}

/// The findings when `name` has one dependency in a workspace in which every planned crate exists.
fn findings(name: &str, dependency: Dependency) -> Vec<String> {
    let mut dependency = Some(dependency);
    let members = CRATES.iter().map(|rule| {
        let own = if rule.name == name { dependency.take() } else { None };
        member(rule.name, own.into_iter().collect())
    });
    check(&Graph::synthetic(members.collect(), &[]))
}

#[test]
fn canary_arrows_only_point_down() {
    for (from, to) in [
        ("vfs", "granite"),
        ("granite", "northstar"),
        ("northstar", "granite"),
        ("granite", "tl-core"),
        ("granite", "tinyfs"),
        ("tl-core", "tl-watcher"),
        ("tl-journal", "tl-daemon"),
        ("tl-daemon", "tl-sql"),
        ("tl", "pond"),
        ("xtask", "vfs"),
    ] {
        assert_eq!(findings(from, uses(to)), [format!("{from} -> {to}: against the layers of ARCHITECTURE.md")]);
    }
    assert_eq!(findings("granite", uses("vfs")), [""; 0]);
}

/// Tests must not smuggle in what the layers forbid.
#[test]
fn canary_tests_keep_to_the_layers_too() {
    assert_eq!(findings("granite", tests_use("northstar")).len(), 1);
    assert_eq!(findings("vfs", tests_use("granite")).len(), 1);
}

/// The simulated disk is for tests: a product that links it carries a disk that forgets.
#[test]
fn canary_the_simulated_disk_is_for_tests() {
    assert_eq!(findings("granite", uses("vfs-sim")).len(), 1);
    assert_eq!(findings("kvd", uses("vfs-sim")).len(), 1);
    assert_eq!(findings("granite", tests_use("vfs-sim")), [""; 0]);
}

#[test]
fn canary_exclusive_crates() {
    for (from, to) in [
        ("tl-daemon", "notify"),
        ("tl-journal", "inotify"),
        ("tl", "gix"),
        ("tl-journal", "gix-object"),
        ("tl-core", "jj-lib"),
        ("pond", "deltalake"),
        ("tinyfs", "arrow-array"),
        ("kvd", "datafusion"),
        ("tl-mount", "fuser"),
        ("granite", "anyhow"),
        ("tl-core", "anyhow"),
        ("vfs", "clap"),
    ] {
        let found = findings(from, uses(to));
        assert!(found.len() == 1 && found[0].contains("only for"), "{from} -> {to}: {found:?}");
    }
    assert_eq!(findings("kvd", uses("anyhow")), [""; 0]);
}

#[test]
fn canary_fuse_only_behind_a_feature() {
    assert!(findings("tinyfs", uses("fuser"))[0].contains("behind a feature"));
    assert_eq!(findings("tinyfs", Dependency { optional: true, ..uses("fuser") }), [""; 0]);
}

/// A crate in between must not hide what is linked in the end.
#[test]
fn canary_what_is_linked_through_others() {
    let members = vec![member("granite", vec![uses("harmless")]), member("tl", vec![uses("viewer")])];
    let links = [("harmless", "tokio"), ("viewer", "tables"), ("tables", "datafusion-expr")];
    assert_eq!(
        check(&Graph::synthetic(members, &links)),
        [
            "granite -> harmless -> tokio: must never be linked: the engines know no async runtime",
            "tl -> viewer -> tables -> datafusion-expr: must never be linked: memory and start-up depend on it",
        ]
    );
}

/// A crate that nobody gave a layer would otherwise be free of all rules.
#[test]
fn canary_every_crate_has_a_layer() {
    let found = check(&Graph::synthetic(vec![member("newcomer", vec![])], &[]));
    assert!(found.len() == 1 && found[0].contains("decide its layer"), "{found:?}");
}
