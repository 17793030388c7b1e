//! Bytes as text.

use std::fmt::Write as _;

/// The bytes in hexadecimal digits, two for each, in lower case.
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_two_digits() {
        assert_eq!(encode(&[0, 0x0a, 0x7f, 0xff]), "000a7fff");
        assert_eq!(encode(&[]), "");
    }
}
