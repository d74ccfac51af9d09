//! One line that a person reads: a name, a title, a choice. Nothing in it is hidden, or turns around what stands beside it.

/// Longest name of a person or handle, in characters.
pub const LONGEST_NAME: usize = 200;

/// Whether a character has no place in a line: a control, a line or paragraph separator, or one that formats and is not
/// seen (Unicode's Cf, bidirectional controls among them, and the fillers). Not the joiners, which names of many languages
/// are written with.
#[must_use]
pub fn is_out_of_place(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{180e}' | '\u{200b}' | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

/// Whether a text, without the spaces around it, is a line of so many characters at most, something of which is seen.
#[must_use]
pub fn is_line(text: &str, longest: usize) -> bool {
    let text = text.trim();
    shows_something(text) && text.chars().count() <= longest && !text.chars().any(is_out_of_place)
}

/// What is left of a text that somebody else vouches for: one line, as long as a name may be, or nothing.
#[must_use]
pub fn cleaned(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|c| !is_out_of_place(*c)).take(LONGEST_NAME).collect();
    let text = text.trim();
    shows_something(text).then(|| text.to_owned())
}

fn shows_something(text: &str) -> bool {
    text.chars().any(|c| !c.is_whitespace() && !is_joiner(c))
}

const fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_hides_nothing_and_turns_nothing_around() {
        let good = [
            "Ada",
            " Ada Lovelace ",
            "李",
            "می\u{200c}خواهم",
            "ශ\u{200d}රී",
            "👩\u{200d}💻",
            "José",
            "葛\u{e0100}城",
            "שרה",
        ];
        for text in good {
            assert!(is_line(text, 200), "{text:?}");
            assert_eq!(cleaned(text).as_deref(), Some(text.trim()));
        }
        let bad = [
            ("", None),
            (" \u{a0}", None),
            ("\u{200d}", None),
            ("\u{200b}", None),
            ("\u{3164}", None),
            ("a\nb", Some("ab")),
            ("a\0", Some("a")),
            ("Ada\u{202e}gpj.exe", Some("Adagpj.exe")),
            ("\u{2067}Ada\u{2069}", Some("Ada")),
            ("A\u{200b}da", Some("Ada")),
            ("Ada\u{2028}Support", Some("AdaSupport")),
            ("Ada\u{2029}x", Some("Adax")),
            ("\u{feff}Ada", Some("Ada")),
            ("A\u{ad}da\u{200f}", Some("Ada")),
            ("Ada\u{e0041}", Some("Ada")),
        ];
        for (text, left) in bad {
            assert!(!is_line(text, 200), "{text:?}");
            assert_eq!(cleaned(text).as_deref(), left, "{text:?}");
        }
        assert!(is_line(&"ä".repeat(200), 200) && !is_line(&"ä".repeat(201), 200));
        assert_eq!(cleaned(&"ä".repeat(300)), Some("ä".repeat(200)));
    }
}
