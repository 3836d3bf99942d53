//! `tl NAME` runs `tl-NAME`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::place::{Ended, Place};

/// If it fails, `tl sql` and every command that others add are gone.
#[test]
fn a_program_on_the_search_path_is_a_command() {
    let place = Place::new();
    let dir = place.beside("programs");
    fs::create_dir(&dir).unwrap();
    let program = dir.join("tl-hello");
    fs::write(&program, "#!/bin/sh\necho \"$TL_STORE $@\"\nexit 7\n").unwrap();
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let store = "0123456789abcdef0123456789abcdef";
    let mut command = place.command(&["--store", store, "hello", "--flag", "two words"]);
    command.env("PATH", format!("{}:/usr/bin:/bin", dir.display()));
    let ended = Ended::of(command).code(7);
    assert_eq!(ended.text(), format!("{store} --flag two words\n"));
}

#[test]
fn a_name_that_is_nothing_is_refused() {
    let place = Place::new();
    place.run(&["storse"]).code(2).says(&["no command", "did you mean `tl stores`"]);
    place.run(&["../bin/true"]).code(2).says(&["no command"]);
}
