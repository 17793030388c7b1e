//! What people type: how long it may be, and which characters it may have. What is wrong is said in words.

use std::ops::RangeInclusive;

use super::LocalText;

/// The most characters of a name: a shop's, a category's, a product's, a spec's.
pub const NAME_CHARS_MAX: usize = 50;

/// A line: trimmed, from one to `chars_max` characters, none of them a control character.
///
/// # Errors
/// What it must be.
pub fn line(value: &str, chars_max: usize) -> Result<String, LocalText> {
    typed(value, 1..=chars_max, |c| c.is_control() || ['\u{2028}', '\u{2029}'].contains(&c))
}

/// A text: as [`line()`], but it may be empty and have line breaks and tabs.
///
/// # Errors
/// What it must be.
pub fn text(value: &str, chars_max: usize) -> Result<String, LocalText> {
    typed(value, 0..=chars_max, |c| c.is_control() && !['\n', '\r', '\t'].contains(&c))
}

fn typed(value: &str, chars: RangeInclusive<usize>, is_unfit: impl Fn(char) -> bool) -> Result<String, LocalText> {
    let value = value.trim();
    if !chars.contains(&value.chars().count()) {
        let (least, most) = (chars.start(), chars.end());
        let (zh, en) = (format!("须为 {least} 到 {most} 个字符"), format!("it must have {least} to {most} characters"));
        return Err(LocalText::new(zh, en));
    }
    if value.chars().any(|c| is_unfit(c) || is_deceptive(c)) {
        return Err(LocalText::new("不能有控制字符", "it must not have control characters"));
    }
    Ok(value.to_owned())
}

/// Characters that show nothing, or turn what follows around. The joiners of emoji are none of them.
fn is_deceptive(c: char) -> bool {
    matches!(c, '\u{61C}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}
