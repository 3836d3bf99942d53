//! How much of one content is in another: the measure of Git's rename detection, which counts the bytes of lines that both have.

/// Longer lines are counted in pieces, so that files without line feeds are comparable too.
const PIECE_LEN_MAX: usize = 64;

/// The pieces of a content by hash, with the bytes in each; rising by hash.
#[derive(Debug)]
pub struct Fingerprint {
    pieces: Vec<(u64, u64)>,
    len: u64,
}

impl Fingerprint {
    /// Takes a content apart.
    pub fn of(content: &[u8]) -> Self {
        let mut pieces: Vec<(u64, u64)> = content
            .split_inclusive(|byte| *byte == b'\n')
            .flat_map(|line| line.chunks(PIECE_LEN_MAX))
            .map(|piece| (hash(piece), piece.len() as u64))
            .collect();
        pieces.sort_unstable();
        pieces.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        Self { pieces, len: content.len() as u64 }
    }

    /// The share of bytes that both have of the longer one, in percent, rounded down.
    pub fn similarity_percent(&self, other: &Self) -> u8 {
        let longer = self.len.max(other.len);
        if longer == 0 {
            return 100;
        }
        let mut shared = 0;
        let (mut left, mut right) = (self.pieces.iter().peekable(), other.pieces.iter().peekable());
        while let (Some((a, a_len)), Some((b, b_len))) = (left.peek(), right.peek()) {
            match a.cmp(b) {
                std::cmp::Ordering::Less => drop(left.next()),
                std::cmp::Ordering::Greater => drop(right.next()),
                std::cmp::Ordering::Equal => {
                    shared += a_len.min(b_len);
                    left.next();
                    right.next();
                }
            }
        }
        (shared * 100 / longer).min(100) as u8
    }
}

/// FNV-1a: any function would do that spreads; an attacker who makes lines collide makes two files look alike, no more.
fn hash(piece: &[u8]) -> u64 {
    piece.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent(a: &[u8], b: &[u8]) -> u8 {
        let (a, b) = (Fingerprint::of(a), Fingerprint::of(b));
        assert_eq!(a.similarity_percent(&b), b.similarity_percent(&a));
        a.similarity_percent(&b)
    }

    #[test]
    fn what_is_shared_counts_by_its_bytes() {
        assert_eq!(percent(b"a\nb\nc\nd\n", b"a\nb\nc\nd\n"), 100);
        assert_eq!(percent(b"a\nb\nc\nd\n", b"d\nc\nx\ny\n"), 50);
        assert_eq!(percent(b"a\n", b"b\n"), 0);
        assert_eq!(percent(b"", b""), 100);
        assert_eq!(percent(b"", b"a"), 0);
    }

    /// If it fails, a file of one line repeated is taken for every file that has this line once.
    #[test]
    fn repeated_lines_count_as_often_as_both_have_them() {
        assert_eq!(percent(&b"x\n".repeat(100), b"x\n"), 1);
        assert_eq!(percent(&b"x\n".repeat(100), &b"x\n".repeat(50)), 50);
    }

    #[test]
    fn long_lines_are_compared_in_pieces() {
        let long: Vec<u8> = (0..64u8).flat_map(|piece| [piece; 64]).collect();
        let mut edited = long.clone();
        edited[10] = 200;
        assert_eq!(percent(&long, &edited), 98);
    }
}
