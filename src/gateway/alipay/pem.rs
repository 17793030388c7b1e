//! Keys and certificates as people have them: PEM, or the bare base64 that Alipay's console and key tool give.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The shortest key of any use here, as DER, is longer than this, and hardly any path is as long, in bytes.
const DER_BYTES_MIN: usize = 200;

/// The contents of all blocks of a PEM text, or the one that is bare base64; none if neither can be read.
pub(super) fn blocks(text: &str) -> Option<Vec<Vec<u8>>> {
    if !text.contains("-----BEGIN") {
        return bare(text).map(|der| vec![der]);
    }
    let mut found = Vec::new();
    for block in text.split("-----BEGIN ").skip(1) {
        let (label, rest) = block.split_once("-----")?;
        let (content, _) = rest.split_once(&format!("-----END {label}-----"))?;
        found.push(decode(content)?);
    }
    Some(found)
}

/// What is written as base64 alone, if it is that, and long enough to be no path.
pub(super) fn bare(text: &str) -> Option<Vec<u8>> {
    // DER of keys and certificates is a SEQUENCE, whose first byte is 0x30.
    decode(text).filter(|der| der.len() >= DER_BYTES_MIN && der.first() == Some(&0x30))
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_whatever_stands_around_them() {
        let text =
            "Bag\r\n-----BEGIN A-----\r\nAQ\n I=\n-----END A-----\nand\n-----BEGIN B C-----\nAw==\n-----END B C-----";
        assert_eq!(blocks(text), Some(vec![vec![1, 2], vec![3]]));
        for bad in [
            "-----BEGIN A-----",
            "-----BEGIN A-----AQ==-----END B-----",
            "-----BEGIN A-----?-----END A-----",
            "keys/a.pem",
            "",
        ] {
            assert_eq!(blocks(bad), None, "{bad}");
        }
    }

    #[test]
    fn bare_base64_is_told_from_a_path() {
        let der = [[0x30; 200].as_slice(), &[7]].concat();
        let text = STANDARD.encode(&der);
        assert_eq!(bare(&format!("{}\n{}\n", &text[..64], &text[64..])), Some(der.clone()));
        assert_eq!(bare(&STANDARD.encode(&der[1..])), Some(der[1..].to_vec()));
        assert_eq!(bare(&STANDARD.encode(&der[2..])), None);
        assert_eq!(bare("keys/alipay"), None);
    }
}
