//! HTML that somebody else wrote: kept as it came, and shown without what acts or loads (HD-04).
//!
//! It is cleaned once, when it comes, and not whenever somebody looks.

use std::collections::HashMap;

/// Open elements at once, beyond which HTML is not shown. Mail programs nest a few dozen; a parser's work grows with
/// the square of it.
const DEEPEST: usize = 200;
/// Elements that have no end tag, or end where the next of their kind begins.
const ENDS_ITSELF: [&str; 29] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr", "p",
    "li", "dt", "dd", "tr", "td", "th", "tbody", "thead", "tfoot", "colgroup", "option", "optgroup", "rt", "rp",
];

/// A body in HTML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Html {
    /// As it was pushed, for the desk.
    pub pushed: String,
    /// For people; nothing where there is no telling what it would do.
    pub shown: Option<String>,
}

impl Html {
    /// Takes some milliseconds for a long mail.
    #[must_use]
    pub fn of(pushed: String) -> Self {
        let shown = (deepest(&pushed) <= DEEPEST).then(|| cleaned(&pushed));
        Self { pushed, shown }
    }
}

fn cleaned(html: &str) -> String {
    ammonia::Builder::default()
        .rm_tags(["img"])
        .url_relative(ammonia::UrlRelative::Deny)
        .link_rel(Some("noopener noreferrer nofollow"))
        .clean(html)
        .to_string()
}

/// The most elements that are open at once, or more: an end tag counts only against a start tag of its name.
fn deepest(html: &str) -> usize {
    let mut open: HashMap<String, usize> = HashMap::new();
    let (mut now, mut most) = (0, 0);
    for tag in html.split('<').skip(1) {
        let (ends, name) = tag.strip_prefix('/').map_or((false, tag), |name| (true, name));
        let name: String = name.chars().take_while(char::is_ascii_alphanumeric).collect();
        let name = name.to_ascii_lowercase();
        if name.is_empty() || ENDS_ITSELF.contains(&name.as_str()) {
            continue;
        }
        let count = open.entry(name).or_default();
        if !ends {
            *count += 1;
            now += 1;
            most = most.max(now);
        } else if *count > 0 {
            *count -= 1;
            now -= 1;
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(html: &str) -> Option<String> {
        Html::of(html.to_owned()).shown
    }

    #[test]
    fn hd_04_html_neither_acts_nor_loads() {
        for wrong in [
            "<img src=x onerror=alert(1)>",
            "<svg onload=alert(1)><script>alert(1)</script></svg>",
            "<a href=\"javascript:alert(1)\">x</a>",
            "<iframe src=//evil.example></iframe>",
            "<p style=\"background:url(//evil.example)\" onclick=x()>x</p>",
            "<form action=//evil.example><input></form>",
        ] {
            let clean = shown(wrong).unwrap();
            for sign in ["onerror", "onload", "onclick", "script", "iframe", "evil", "style", "form"] {
                assert!(!clean.contains(sign), "{wrong} became {clean}");
            }
        }
        assert_eq!(shown("<p>My <b>printer</b></p>").unwrap(), "<p>My <b>printer</b></p>");
    }

    #[test]
    fn html_that_is_nested_too_deep_is_not_shown() {
        for bomb in ["<div>", "<b>", "<div></x>", "<DIV><p>", "<table><tr><td>", "<ul><li>", "<div ></ div>"] {
            assert_eq!(shown(&bomb.repeat(50_000)), None, "{bomb}");
        }
        let row = "<tr><td><p>one<br><p>two<td><img src=x></tr>".repeat(1_000);
        let newsletter = format!("<div>{}{row}{}</div>", "<table><tr><td>".repeat(30), "</table>".repeat(30));
        assert!(shown(&newsletter).unwrap().contains("two"));
        assert!(shown(&"<div>x</div>".repeat(10_000)).is_some());
    }
}
