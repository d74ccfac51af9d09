//! Every problem has a word, a page and a bound.

use std::collections::HashSet;

use super::*;
use crate::field_codes::FIELD_CODES;

#[test]
fn every_code_is_told_apart_and_documented() {
    let words: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(words.len(), Code::ALL.len());
    let page = include_str!("../../docs/problems.md");
    for code in Code::ALL {
        assert!((400..600).contains(&code.status()));
        assert!(page.contains(&format!("`{}`", code.as_str())), "docs/problems.md leaves out {}", code.as_str());
    }
    for (code, meaning) in FIELD_CODES {
        assert!(page.contains(&format!("| `{code}` | {meaning} |")), "docs/problems.md leaves out {code}");
    }
}

#[test]
fn rl_11_a_wait_is_whole_seconds_and_never_zero() {
    for (wait, header) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2")] {
        let problem = Problem::from(Error::TooMany { retry_after: Duration::from_millis(wait) });
        assert_eq!(problem.error_response().headers().get(RETRY_AFTER).unwrap(), header);
    }
}
