//! Entity tags (RFC 9110, sections 8.8.3 and 13.1.1). A tag is a hash of what is answered: it changes with everything
//! that the caller sees, and with nothing that is kept from them.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, ETAG, IF_MATCH};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use data_encoding::HEXLOWER;
use doorstep_core::keyring::sha256;
use serde::Serialize;

use crate::problem::{Code, Problem};

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

/// The tags that a request's `If-Match` names; none where it has no such header.
#[derive(Debug, Clone)]
pub struct IfMatch(Option<Vec<String>>);

impl FromRequest for IfMatch {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let lines: Vec<&str> =
            request.headers().get_all(IF_MATCH).map(|line| line.to_str().unwrap_or_default()).collect();
        let tags = lines.iter().flat_map(|line| line.split(',')).map(|tag| tag.trim().to_owned());
        ready(Ok(Self((!lines.is_empty()).then(|| tags.collect()))))
    }
}

impl IfMatch {
    /// Whether a change may be made to what is there now. A tag that is none of ours matches nothing, `*` anything
    /// that is there.
    pub fn allows<T: Serialize>(&self, now: impl FnOnce() -> Option<T>) -> bool {
        let Some(tags) = &self.0 else { return true };
        let Some(json) = now().and_then(|now| serde_json::to_vec(&now).ok()) else { return false };
        let now = tag_of(&json);
        tags.iter().any(|tag| tag == "*" || *tag == now)
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn if_match(lines: &[&str]) -> IfMatch {
        let request = TestRequest::default();
        let request = lines.iter().fold(request, |request, line| request.append_header((IF_MATCH, *line)));
        IfMatch::from_request(&request.to_http_request(), &mut Payload::None).into_inner().unwrap()
    }

    #[test]
    fn a_change_is_made_to_what_was_read_and_to_nothing_else() {
        let answer = tagged(StatusCode::OK, &"one").unwrap();
        let tag = answer.headers().get(ETAG).unwrap().to_str().unwrap().to_owned();
        let rows: [(&[&str], bool, bool, bool); 9] = [
            (&[], true, true, true),
            (&["*"], true, true, false),
            (&[&tag], true, false, false),
            (&[&format!("\"x\", {tag}")], true, false, false),
            (&["\"x\"", &tag], true, false, false),
            (&[&format!("W/{tag}")], false, false, false),
            (&[tag.trim_matches('"')], false, false, false),
            (&["\"x\""], false, false, false),
            (&[""], false, false, false),
        ];
        for (lines, same, other, absent) in rows {
            let asked = if_match(lines);
            let allows = |now: Option<&str>| asked.allows(|| now);
            assert_eq!((allows(Some("one")), allows(Some("two")), allows(None)), (same, other, absent), "{lines:?}");
        }
    }
}
