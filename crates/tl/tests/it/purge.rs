//! `tl purge PATH`.

use crate::place::Place;

/// If it fails, a purge removes more than what was named, or without anybody having agreed.
#[test]
fn what_cannot_be_meant_is_refused() {
    let place = Place::protected();
    place.run(&["purge"]).code(2);
    place.run(&["purge", "."]).code(2).says(&["whole directory"]);
    place.run(&["purge", "../outside"]).code(2).says(&["outside of"]);
    place.run(&["purge", "/etc/passwd"]).code(2).says(&["outside of"]);
}
