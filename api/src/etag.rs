//! Entity tags (RFC 9110, sections 8.8.3 and 13.1). A tag is a hash of what is answered: it changes with everything that
//! the caller sees, and with nothing that is kept from them.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use data_encoding::HEXLOWER;
use doorstep_core::Error;
use doorstep_core::keyring::sha256;
use serde::Serialize;

use crate::problem::Problem;
use crate::problem_code::Code;

/// Half of a SHA-256: nobody gains by two representations that share a tag but whoever made both.
fn tag_of(json: &[u8]) -> String {
    let hash = sha256(json);
    let half = hash.first_chunk::<16>().copied().unwrap_or_default();
    format!("\"{}\"", HEXLOWER.encode(&half))
}

/// An answer with its tag.
pub fn tagged(status: StatusCode, body: &impl Serialize) -> Result<HttpResponse, Problem> {
    let json = serde_json::to_vec(body).map_err(|_| Problem::new(Code::InternalError))?;
    let tag = (ETAG, tag_of(&json));
    Ok(HttpResponse::build(status).insert_header(tag).insert_header(ContentType::json()).body(json))
}

/// What a header names: anything that is there, or one of these tags.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Named {
    Any,
    Tags(Vec<Tag>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Tag {
    weak: bool,
    /// With its quotes.
    text: Vec<u8>,
}

/// `"*"` or a list of tags, in one or several lines; `None` where it is neither.
fn read(request: &HttpRequest, name: HeaderName) -> Option<Named> {
    let lines: Vec<&[u8]> = request.headers().get_all(name).map(|line| line.as_bytes().trim_ascii()).collect();
    match lines.as_slice() {
        [b"*"] => Some(Named::Any),
        lines => list(&lines.join(&b','), Vec::new()).map(Named::Tags),
    }
}

/// A list may have empty places (RFC 9110, section 5.6.1.2).
fn list(text: &[u8], mut tags: Vec<Tag>) -> Option<Vec<Tag>> {
    let mut left = text.trim_ascii_start();
    while !left.is_empty() {
        if let Some(next) = left.strip_prefix(b",") {
            left = next.trim_ascii_start();
            continue;
        }
        let (tag, next) = tag(left)?;
        tags.push(tag);
        left = next.trim_ascii_start();
        if !left.is_empty() && !left.starts_with(b",") {
            return None;
        }
    }
    Some(tags)
}

/// The tag that a text begins with, and what follows it. A comma may stand in a tag.
fn tag(text: &[u8]) -> Option<(Tag, &[u8])> {
    let quoted = text.strip_prefix(b"W/");
    let (weak, quoted) = (quoted.is_some(), quoted.unwrap_or(text));
    let within = quoted.strip_prefix(b"\"")?;
    let length = within.iter().position(|b| *b == b'"')?;
    let (within, _) = within.split_at_checked(length)?;
    let good = within.iter().all(|b| matches!(b, 0x21 | 0x23..=0x7e | 0x80..));
    let (text, next) = quoted.split_at_checked(length + 2)?;
    good.then(|| (Tag { weak, text: text.to_vec() }, next))
}

/// What a request's `If-Match` names; nothing where it has no such header.
#[derive(Debug, Clone)]
pub struct IfMatch(Option<Named>);

impl FromRequest for IfMatch {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        if !request.headers().contains_key(IF_MATCH) {
            return ready(Ok(Self(None)));
        }
        let named = read(request, IF_MATCH).ok_or_else(|| {
            let detail = "Send the ETag of an answer as it is, with its quotes, or several with commas between, or *.";
            Error::invalid("/If-Match", "invalid", detail).into()
        });
        ready(named.map(|named| Self(Some(named))))
    }
}

impl IfMatch {
    /// For what is replaced as a whole: nobody does so without saying what they have read.
    pub fn required(self) -> Result<Self, Problem> {
        if self.0.is_some() { Ok(self) } else { Err(Problem::new(Code::PreconditionRequired)) }
    }

    /// Whether a change may be made to what is there now. A weak tag, or one that is none of ours, matches nothing, `*`
    /// anything that is there.
    pub fn allows<T: Serialize>(&self, now: impl FnOnce() -> Option<T>) -> bool {
        let Some(named) = &self.0 else { return true };
        let Some(json) = now().and_then(|now| serde_json::to_vec(&now).ok()) else { return false };
        match named {
            Named::Any => true,
            Named::Tags(tags) => {
                let now = tag_of(&json);
                tags.iter().any(|tag| !tag.weak && tag.text == now.as_bytes())
            }
        }
    }
}

/// What a request's `If-None-Match` names. Where it names nothing that can be read, all is answered: that is never wrong.
#[derive(Debug, Clone)]
pub struct IfNoneMatch(Option<Named>);

impl FromRequest for IfNoneMatch {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self(read(request, IF_NONE_MATCH))))
    }
}

impl IfNoneMatch {
    /// An answer with its tag; only that, with 304, where the caller has it already (RFC 9110, section 13.1.2).
    pub fn answer(&self, body: &impl Serialize) -> Result<HttpResponse, Problem> {
        let whole = tagged(StatusCode::OK, body)?;
        let Some(tag) = whole.headers().get(ETAG) else { return Ok(whole) };
        let known = match &self.0 {
            Some(Named::Any) => true,
            Some(Named::Tags(tags)) => tags.iter().any(|known| known.text == tag.as_bytes()),
            None => false,
        };
        Ok(if known { HttpResponse::NotModified().insert_header((ETAG, tag.clone())).finish() } else { whole })
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn request(name: &HeaderName, lines: &[&str]) -> HttpRequest {
        let request = TestRequest::default();
        lines.iter().fold(request, |request, line| request.append_header((name, *line))).to_http_request()
    }

    fn if_match(lines: &[&str]) -> Result<IfMatch, Problem> {
        IfMatch::from_request(&request(&IF_MATCH, lines), &mut Payload::None).into_inner()
    }

    #[test]
    fn a_change_is_made_to_what_was_read_and_to_nothing_else() {
        let answer = tagged(StatusCode::OK, &"one").unwrap();
        let tag = answer.headers().get(ETAG).unwrap().to_str().unwrap().to_owned();
        let rows: [(&[&str], bool, bool, bool); 10] = [
            (&[], true, true, true),
            (&["*"], true, true, false),
            (&[&tag], true, false, false),
            (&[&format!("\"x\", {tag}")], true, false, false),
            (&[&format!("\"x,\" ,, {tag} , ")], true, false, false),
            (&["\"x\"", &tag], true, false, false),
            (&[&format!("W/{tag}")], false, false, false),
            (&["\"x\""], false, false, false),
            (&["\"\""], false, false, false),
            (&[""], false, false, false),
        ];
        for (lines, same, other, absent) in rows {
            let asked = if_match(lines).unwrap();
            let allows = |now: Option<&str>| asked.allows(|| now);
            assert_eq!((allows(Some("one")), allows(Some("two")), allows(None)), (same, other, absent), "{lines:?}");
        }
        let bare = tag.trim_matches('"');
        let garbled: [&[&str]; 9] = [
            &[bare],
            &["*, \"x\""],
            &["*", "*"],
            &["\"x\" \"y\""],
            &["\"x"],
            &["'x'"],
            &["w/\"x\""],
            &["W/ \"x\""],
            &["\"a b\""],
        ];
        for lines in garbled {
            let problem = if_match(lines).unwrap_err();
            assert_eq!(problem.code, Code::ValidationFailed, "{lines:?}");
            assert_eq!(problem.errors.first().unwrap().pointer, "/If-Match");
        }
    }

    #[test]
    fn what_the_caller_has_is_not_sent_again() {
        let tag = tag_of(b"\"one\"");
        let rows: [(&[&str], u16); 8] = [
            (&[], 200),
            (&["*"], 304),
            (&[&tag], 304),
            (&[&format!("W/{tag}")], 304),
            (&[&format!("\"x\", {tag}")], 304),
            (&["\"x\""], 200),
            (&[tag.trim_matches('"')], 200),
            (&[""], 200),
        ];
        for (lines, status) in rows {
            let known = IfNoneMatch::from_request(&request(&IF_NONE_MATCH, lines), &mut Payload::None).into_inner();
            let answer = known.unwrap().answer(&"one").unwrap();
            assert_eq!(
                (answer.status().as_u16(), answer.headers().get(ETAG).unwrap().to_str().unwrap()),
                (status, tag.as_str())
            );
        }
    }
}
