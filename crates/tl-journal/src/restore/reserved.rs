//! Names that some filesystem takes for `.git`, `.jj` or `.tl`, though they are spelled otherwise.
//!
//! Trees may hold any of them: where they were recorded they meant something else. Where they are written they might not, so a restore refuses them
//! on every filesystem: what is harmless here must not become a hook of Git once the directory is copied there. The rules are those
//! of Git's `is_hfs_dotgit` and `is_ntfs_dotgit`.

/// The names themselves, without the dot.
const RESERVED: [&[u8]; 3] = [b"git", b"jj", b"tl"];

/// True if `name` can mean `.git`, `.jj` or `.tl`: in another case, with characters that HFS+ ignores, as an NTFS short name, or with what NTFS
/// drops or takes for a stream behind it.
pub(super) fn is_disguise(name: &[u8]) -> bool {
    RESERVED.iter().any(|reserved| is_ntfs(name, reserved)) || is_hfs(name)
}

/// `.git`, or `git~1` as its short name, followed by what NTFS does not count: dots and spaces to the end, or a stream.
fn is_ntfs(name: &[u8], reserved: &[u8]) -> bool {
    let dotted = name.strip_prefix(b".").and_then(|rest| strip_prefix_in_any_case(rest, reserved));
    let short = strip_prefix_in_any_case(name, reserved).and_then(|rest| rest.strip_prefix(b"~1"));
    [dotted, short].into_iter().flatten().any(|rest| {
        let counted = rest.iter().find(|&&byte| byte != b'.' && byte != b' ');
        // A backslash ends a name there; what follows is in the directory that is meant.
        matches!(counted, None | Some(b':' | b'\\'))
    })
}

fn strip_prefix_in_any_case<'a>(name: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = name.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn is_hfs(name: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(name) else { return false };
    let mut counted = text.chars().filter(|&char| !is_ignored_by_hfs(char)).map(|char| char.to_ascii_lowercase());
    let Some('.') = counted.next() else { return false };
    let rest: String = counted.collect();
    RESERVED.contains(&rest.as_bytes())
}

/// The code points that HFS+ drops from names before it compares them.
const fn is_ignored_by_hfs(char: char) -> bool {
    matches!(char, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If it fails, a restore can write into a repository's own directory on some filesystem.
    #[test]
    fn disguises_are_seen() {
        for name in [
            ".git",
            ".Git",
            ".GIT",
            ".JJ",
            ".Tl",
            ".git ",
            ".git.",
            ".git . .",
            ".git::$INDEX_ALLOCATION",
            ".git:x",
            ".tl::$DATA",
            ".git\\hooks",
            "git~1",
            "GIT~1",
            "GiT~1 ",
            "jj~1",
            "TL~1.",
            "git~1:stream",
            ".g\u{200c}it",
            "\u{feff}.git",
            ".gi\u{202a}T",
            ".git\u{206f}",
            ".\u{200d}j\u{200e}j",
            ".T\u{206a}L",
        ] {
            assert!(is_disguise(name.as_bytes()), "{name:?}");
        }
    }

    /// If it fails, ordinary files cannot be restored.
    #[test]
    fn ordinary_names_are_not() {
        for name in [
            ".gitignore",
            ".gitattributes",
            ".github",
            ".git_",
            "git",
            "tl",
            "jj",
            "git~2",
            "git~10",
            ".git-x",
            "x.git",
            "..git",
            "git~",
            ".g it",
            ".gi\u{301}t",
            ".tlignore",
            ".",
            "",
            "~1",
            ".gi",
        ] {
            assert!(!is_disguise(name.as_bytes()), "{name:?}");
        }
        assert!(!is_disguise(b".git\xff") && !is_disguise(b"\xff.git"));
    }
}
