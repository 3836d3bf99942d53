//! The inputs that the fuzz target of whole databases collected, on the stable compiler.

#[path = "../../../../fuzz/src/database.rs"]
mod database;

/// If it fails, a changed file makes an opening or a read panic.
#[test]
fn databases_with_changed_files_are_read_without_a_panic() {
    let crate_dir = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
    let corpus = std::path::Path::new(&crate_dir).join("../../fuzz/corpus/database");
    let files: Vec<_> = std::fs::read_dir(corpus).unwrap().collect();
    assert!(!files.is_empty());
    for file in files {
        database::open_with_a_changed_file(&std::fs::read(file.unwrap().path()).unwrap());
    }
    for file in 0..12 {
        for at in 0..200u8 {
            for mode in 0..3 {
                database::open_with_a_changed_file(&[file, 1, mode, at / 64, at.wrapping_mul(7), at ^ 0x55]);
            }
        }
    }
}
