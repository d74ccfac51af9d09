//! The closed sets of words in the document. Their values are core's own enums: one list of words, said once.

use std::borrow::Cow;

use doorstep_core::account::{AccountState, Role};
use doorstep_core::activity::By;
use doorstep_core::api_key::Scope;
use doorstep_core::audit::{Action, ActorKind};
use doorstep_core::conversation::{Author, Channel, Status, Visibility};
use doorstep_core::custom_field::{FieldType, VisibleTo};
use doorstep_core::identity::{IdentityKind, ProofMethod};
use doorstep_core::interaction::{Direction, Dmarc, PushOutcome};
use doorstep_core::session::EndReason;
use doorstep_core::settings::{SignUpPolicy, UnknownRequesters};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::field_codes::FIELD_CODES;
use crate::problem_code::Code;

fn schema(about: &str, words: Vec<&'static str>) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).description(Some(about)).enum_values(Some(words)).into()
}

macro_rules! sets {
    ($($name:ident = $words:expr, $about:literal;)*) => {$(
        #[doc = $about]
        #[derive(Debug)]
        pub enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                schema($about, $words)
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )*};
}

/// The words of one of core's enums.
macro_rules! of {
    ($set:ty) => {
        <$set>::ALL.iter().map(|word| word.as_str()).collect()
    };
}

sets! {
    AccountStateWord = of!(AccountState),
        "`unclaimed`: seen in traffic, and nobody signs in to it. `claimed`: its owner does. `disabled`: its owner may not. \
         What is `merged` or `deleted` is answered by a problem.";
    FieldTypeWord = of!(FieldType),
        "`text`: 1 to 1,000 characters. `number`: between -10^15 and 10^15, kept to 15 digits and 9 decimal places. `date`: a day such as `2026-01-31`. \
         `choice`: one of the field's choices, or what was one when it was set.";
    VisibleToWord = of!(VisibleTo),
        "`desk`: to customers there is no such field. `customer_reads`: they see it. `customer_edits`: they change it too.";
    AuditActionWord = of!(Action), "What was done. More may come.";
    AuditActorWord = of!(ActorKind), "Who did it; `nobody`: somebody who was not signed in.";
    ApiKeyScope = of!(Scope), "What an API key may do.";
    AccountRole = of!(Role), "What an account may do here.";
    ConversationChannel = of!(Channel), "How a conversation began; `web` is one that the customer started here.";
    ConversationStatus = of!(Status),
        "`pending`: support waits for the customer. `solved`: a reply opens it again. `closed`: a reply begins a follow-up.";
    MessageAuthor = of!(Author),
        "`requester`: whose conversation it is. `stranger`: somebody else, who wrote into it.";
    MessageVisibility = of!(Visibility), "`held`: kept from the requester. `internal`: a note among agents.";
    DmarcResult = of!(Dmarc),
        "A DMARC result (RFC 8601). A message that failed is held: its `From:` may be anybody's.";
    PushDirection = of!(Direction), "`inbound`: from a person to you. `outbound`: from an agent to a person.";
    PushedOutcome = of!(PushOutcome),
        "`repeated`: pushed before, nothing has changed. `held`: kept, and not shown to the requester.";
    WayInMethod = std::iter::once("password").chain(IdentityKind::ALL.iter().map(|kind| kind.as_str())).collect(),
        "`password`, or the kind of an identity. An `email` is a way in by forgot password.";
    SignUpOffer = vec!["open", "known_only", "off"], "`known_only`: for people whom support already knows.";
    SignUpWord = of!(SignUpPolicy), "Who may make an account by sign-up; `known_only`: people whom support already knows.";
    UnknownRequestersWord = of!(UnknownRequesters),
        "What becomes of a push from somebody support has never met; `hold`: it is kept, and shown to nobody until it is released.";
    SessionStatus = vec!["signed_in"], "Whoever has this is signed in.";
    EmailRequiredStatus = vec!["email_required"], "An address is to be proven first.";
    ActivityActor = By::ALL.iter().map(|by| by.as_str()).collect(),
        "`unsigned`: whoever showed what was mailed to one of my addresses, or came by a provider, without being signed in. `support`: the help desk.";
    ActivityMethod = std::iter::once("password").chain(ProofMethod::ALL.iter().map(|proof| proof.as_str())).collect(),
        "By what somebody showed who they are.";
    ActivityReason = EndReason::ALL.iter().map(|reason| reason.as_str()).chain(["unlink_others", "undone"]).collect(),
        "Of a session: `signed_out_elsewhere`, its owner ended it from another; `reused`, a refresh token was shown that had been \
         replaced long before; `method_off`, its way to sign in was turned off. Of an identity: `unlink_others`, a recovery dropped it; \
         `undone`, the undo of a change of addresses did it.";
    SessionMethod = vec!["password", "sign_up", "provider"],
        "`sign_up`: by the mail that confirmed the sign-up.";
    EmailState = vec!["proven", "pending"], "`pending`: what was mailed to it has not been shown yet.";
    IdentityKindWord = of!(IdentityKind), "What kind of identity it is.";
    RequestStatus = vec!["accepted"], "The same for every address.";
    TokenType = vec!["Bearer"], "How to send the access token (RFC 6750).";
    HealthStatus = vec!["ok"], "Anything else is a problem.";
    ProblemCode = Code::ALL.iter().map(|code| code.as_str()).collect(),
        "A stable word for programs. Treat one that you do not know by the answer's status.";
    FieldCode = FIELD_CODES.iter().map(|(code, _)| *code).collect(),
        "A stable word for programs. Treat one that you do not know like `invalid`.";
}
