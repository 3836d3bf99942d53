//! Git keeps what it was once given: large files are refused outside of fixtures.

use super::Finding;
use super::tree::Tree;

const BYTES_MAX: usize = 1 << 20;

pub fn check(tree: &Tree) -> Vec<Finding> {
    tree.files()
        .filter(|(path, content)| content.len() > BYTES_MAX && !path.split('/').any(|part| part == "fixtures"))
        .map(|(path, content)| {
            Finding::file(path, format!("{} KiB; {} are allowed", content.len() >> 10, BYTES_MAX >> 10))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canary_large_files() {
        let large = vec![0; BYTES_MAX + 1];
        assert_eq!(check(&Tree::of_bytes("docs/video.bin", &large)).len(), 1);
        assert_eq!(check(&Tree::of_bytes("docs/video.bin", &large[1..])), []);
        assert_eq!(check(&Tree::of_bytes("fixtures/v1/2.log", &large)), []);
    }
}
