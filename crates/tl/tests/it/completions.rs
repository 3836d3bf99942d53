//! `tl completions`.

use crate::place::Place;

/// If it fails, a shell completes nothing after an upgrade.
#[test]
fn every_shell_gets_the_commands() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.run(&["completions", shell]).ok();
        for command in ["stores", "completions"] {
            assert!(script.text().contains(command), "{command} in {shell}");
        }
    }
    place.run(&["completions", "cmd.exe"]).code(2);
}
