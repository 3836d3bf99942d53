//! `tl cat`.

use serde_json::json;

use crate::past::Past;

#[test]
fn a_file_comes_back_byte_for_byte() {
    let past = Past::new();
    past.place.write("bytes", b"\x00\xff\r\n\x1b");
    past.record(&[]);
    past.place.write("bytes", b"other");
    past.record(&[]);
    assert_eq!(past.run(&["cat", "bytes@-1"]).ok().stdout, b"\x00\xff\r\n\x1b");
    assert_eq!(past.run(&["cat", "bytes", "bytes@-1"]).ok().stdout, b"other\x00\xff\r\n\x1b");
    assert_eq!(past.json(&["cat", "bytes@-1"])["content"], json!({"hex": "00ff0d0a1b"}));
}

/// If it fails, a file with an `@` in its name cannot be had back.
#[test]
fn a_name_may_have_an_at_in_it() {
    let past = Past::new();
    past.save(&[("@types/x@2.ts", "old"), ("a@-1", "odd")]);
    past.save(&[("@types/x@2.ts", "new")]);
    assert_eq!(past.text(&["cat", "@types/x@2.ts"]), "new");
    assert_eq!(past.text(&["cat", "@types/x@2.ts@-1"]), "old");
    past.run(&["cat", "a@-1"]).code(1);
    assert_eq!(past.text(&["cat", "--at", "@", "a@-1"]), "odd");
}

#[test]
fn what_is_not_there_is_said() {
    let past = Past::new();
    past.save(&[("d/a", "1")]);
    past.run(&["cat", "b"]).code(1).says(&["there is no b in state"]);
    past.run(&["cat", "d/a@nowhere"]).code(1).says(&["nowhere"]);
    past.run(&["cat", "d@"]).code(2).says(&["d is a directory", "tl ls"]);
    past.run(&["cat", "/etc/passwd"]).code(2).says(&["outside"]);
}
